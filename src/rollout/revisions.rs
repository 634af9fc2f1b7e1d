//! The migrations that the Orchestras of a class are to have: the source of the class itself, and those of its
//! templates.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::api::{Migrations, Orchestra, OrchestraClass};
use crate::content::{self, template_of};
use crate::controller::error::Error;
use crate::source::SourcePlace;

/// Digests of the sources of a class.
#[derive(Debug, Default)]
pub struct Revisions {
    own: Option<String>,
    templates: BTreeMap<String, String>,
    /// The first source that is not valid. Orchestras that are to have a source that is not valid keep their migrations.
    pub wrong: Option<Error>,
}

impl Revisions {
    /// Reads the sources.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub async fn of(ctx: &content::Context, class: &OrchestraClass) -> Result<Self, Error> {
        let mut all = Self::default();
        if let Some(migrations) = &class.spec.migrations {
            all.own = all.note(read(ctx, migrations).await)?;
        }
        for template in class.spec.templates.iter().flatten() {
            if let Some(digest) = all.note(read(ctx, &template.migrations).await)? {
                all.templates.insert(template.name.clone(), digest);
            }
        }
        Ok(all)
    }

    fn note(&mut self, read: Result<Option<String>, Error>) -> Result<Option<String>, Error> {
        match read {
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                self.wrong.get_or_insert(error);
                Ok(None)
            }
            Ok(digest) => Ok(digest),
        }
    }

    /// The digest that an Orchestra of the class is to have; `None` when there is no source, or it is not valid.
    pub fn wanted(&self, orchestra: &Orchestra, class: &OrchestraClass) -> Option<&str> {
        match template_of(orchestra, class) {
            Some(template) => self.templates.get(&template.name).map(String::as_str),
            None if orchestra.spec.source.is_some() => None,
            None => self.own.as_deref(),
        }
    }

    /// Whether one of the sources has this digest.
    pub fn has(&self, revision: &str) -> bool {
        self.all().any(|digest| digest == revision)
    }

    /// One digest for all sources together.
    pub fn digest(&self) -> Option<String> {
        let all: Vec<_> = self.all().collect();
        match all.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            several => Some(format!("sha256:{}", hex::encode(Sha256::digest(several.join(","))))),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.own.iter().chain(self.templates.values()).map(String::as_str)
    }
}

async fn read(ctx: &content::Context, migrations: &Migrations) -> Result<Option<String>, Error> {
    let Some(source) = &migrations.source else {
        return Ok(None);
    };
    let read = content::migrations(
        ctx,
        SourcePlace::of_class(&ctx.core.settings.namespace, source),
        migrations.format,
    )
    .await?;
    Ok(Some(read.digest()))
}
