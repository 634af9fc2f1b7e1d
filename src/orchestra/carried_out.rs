//! The connection in effect: the spec's, or, while the spec is invalid, the one published last.

use std::borrow::Cow;

use jiff::Timestamp;

use super::Pass;
use crate::api::Orchestra;
use crate::controller::error::Error;
use crate::credentials::{connection, template};

/// What is wrong with the connection of a spec, and what to do.
pub fn wrong(object: &Orchestra) -> Option<String> {
    let checked = connection::check(object, Timestamp::now());
    checked.err().map(|error| error.to_string())
}

/// The Orchestra with the connection that its Secret is to have. While the spec is invalid, the name stays, and invalid
/// templates are replaced by those that were published last.
pub fn connection(pass: &Pass) -> Cow<'_, Orchestra> {
    if pass.invalid.is_none() {
        return Cow::Borrowed(&pass.object);
    }
    let mut object = pass.object.clone();
    let last = pass.access.logins().and_then(|logins| logins.template.as_ref());
    let connection = &mut object.spec.connection;
    connection.secret_name = Some(pass.secret_name());
    connection.template = connection
        .template
        .as_ref()
        .and_then(|templates| template::last_valid(templates, last));
    Cow::Owned(object)
}

/// Stores the templates before a Secret is published with them: they restore the Secret while those of the spec are invalid.
pub async fn remember(pass: &mut Pass, database: &str) -> Result<(), Error> {
    let templates = pass.object.spec.connection.template.clone();
    let templates = templates.filter(|templates| !templates.is_empty());
    if pass.invalid.is_some() {
        return Ok(());
    }
    let Some(mut logins) = pass.access.logins().cloned() else {
        return Ok(());
    };
    logins.remember(&pass.ctx.core, database, templates).await?;
    pass.access.learn(logins);
    Ok(())
}
