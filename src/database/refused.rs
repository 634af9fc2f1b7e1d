//! The message of a creation that the provider refuses as invalid. It adds the requested values, because the
//! provider's own message may name a field without its value.

use crate::api::SupabaseProject;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::supabase;
use crate::supabase::regions::Offer;

/// A refusal, and what the provider's list says of the region.
pub struct Refusal {
    pub error: supabase::Error,
    pub offer: Offer,
}

/// The refusal, with what to do.
pub fn explain(Refusal { error, offer }: Refusal, asked: &SupabaseProject) -> Error {
    let supabase::Error::Refused {
        status: 400 | 422,
        outside: false,
        message: said,
        ..
    } = &error
    else {
        return error.into();
    };
    if !offer.concerns(said) {
        return error.into();
    }
    let size = match &asked.instance_size {
        Some(size) => format!(" and instanceSize {size}"),
        None => String::new(),
    };
    let message = format!(
        "{error}. The request named region {}{size}: if the provider does not offer that, delete the Orchestra and create it \
         again with another region, or correct the class's placement and instanceSize",
        asked.region
    );
    Error::blocked(Reason::RequestRefused, message)
}
