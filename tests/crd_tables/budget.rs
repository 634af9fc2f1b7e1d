//! What the API server must accept of budgets and accounts, and what it must refuse.

const AMOUNT: &str = "spec.budget.monthlyLimit: Invalid value";

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const BUDGETS: &[(&str, &str, &str)] = &[
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {currency: USD, monthlyLimit: "2500.00", warnAtPercent: 80,
           maxProjects: 250, onExceed: UsePool, prices: {asOf: "2026-10-01", monthly: {micro: "10.00", 2xlarge: "410"}}}}"#,
        "",
    ),
    ("OrchestraClass", "spec: {provider: {supabase: {}}, budget: {}}", ""),
    // Amounts.
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "0"}}"#,
        "",
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "0.01"}}"#,
        "",
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "999999999.99"}}"#,
        "",
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "ten"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "-1"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: ""}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: " 1"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "1e3"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "1,000"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "$10"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "0.001"}}"#,
        AMOUNT,
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {monthlyLimit: "1234567890123456789012345678901234567890"}}"#,
        "spec.budget.monthlyLimit: Too long",
    ),
    // A number would be a float.
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {monthlyLimit: 10}}",
        AMOUNT,
    ),
    // Numbers and choices.
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {warnAtPercent: 0}}",
        "spec.budget.warnAtPercent: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {warnAtPercent: 101}}",
        "spec.budget.warnAtPercent: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {maxProjects: 0}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {maxProjects: -1}}",
        "spec.budget.maxProjects: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {currency: EUR}}",
        r#"supported values: "USD""#,
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {}}, budget: {onExceed: Delete}}",
        r#"supported values: "Hold", "UsePool""#,
    ),
    // Prices.
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {prices: {monthly: {micro: "10"}}}}"#,
        "spec.budget.prices.asOf: Required value",
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {prices: {asOf: yesterday!, monthly: {micro: "10"}}}}"#,
        "spec.budget.prices.asOf: Invalid value",
    ),
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {}}, budget: {prices: {asOf: "2026-10-01", monthly: {micro: ten}}}}"#,
        "spec.budget.prices.monthly.micro: Invalid value",
    ),
    // Accounts.
    (
        "OrchestraClass",
        r#"spec: {provider: {supabase: {organization: ""}}}"#,
        "spec.provider.supabase.organization: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {organization: ' acme-org'}}}",
        "spec.provider.supabase.organization: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {organization: acme/../other}}}",
        "spec.provider.supabase.organization: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {provider: {supabase: {instanceSize: Micro}}}",
        "spec.provider.supabase.instanceSize: Invalid value",
    ),
];
