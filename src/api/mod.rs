//! The contract with users: the kinds of `stagesub.io/v1alpha1`, their conditions and reasons.

pub mod condition;
