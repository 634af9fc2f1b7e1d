//! A creation that the provider refuses as wrong, told with what was asked: its own words may name
//! a field and not the value.

use crate::api::SupabaseProject;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::supabase;

/// The refusal, with what to do.
pub fn explain(error: supabase::Error, asked: &SupabaseProject) -> Error {
    let supabase::Error::Refused { status: 400 | 422, .. } = &error else {
        return error.into();
    };
    let size = match &asked.instance_size {
        Some(size) => format!(" and instanceSize {size}"),
        None => String::new(),
    };
    let message = format!(
        "{error}. The project was asked for with region {}{size}: where the provider has no such, delete the Orchestra \
         and create it anew with another region, or correct the class's placement and instanceSize",
        asked.region
    );
    Error::blocked(Reason::RequestRefused, message)
}
