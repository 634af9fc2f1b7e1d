//! The operations on the API keys of a project.

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use super::http::{Client, HttpRequest, causes, decode, done, encode, http_client};
use crate::supabase::error::Error;
use crate::supabase::keys::{self, ApiKey, ChosenKeys, LegacyKeys};
use crate::supabase::operation::{ApiCall, Operation};
use crate::supabase::types::KeyType;

#[derive(Serialize)]
struct CreateKeyBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_jwt_template: Option<Value>,
}

impl Client {
    /// Reads the API keys, revealed (`v1-get-project-api-keys`); see [`keys::choose`].
    pub async fn api_keys(&self, reference: &str) -> Result<Vec<ApiKey>, Error> {
        self.keys(Operation::GetApiKeys.into(), reference).await
    }

    /// The same for a database in use: nobody waits for it.
    pub async fn list_keys(&self, reference: &str) -> Result<Vec<ApiKey>, Error> {
        self.keys(Operation::GetApiKeys.as_check(), reference).await
    }

    async fn keys(&self, call: ApiCall, reference: &str) -> Result<Vec<ApiKey>, Error> {
        let path = ["v1", "projects", reference, "api-keys"];
        let query = vec![("reveal", "true".to_owned())];
        let read = self.read_list(call, (reference, "api_keys"), &path, query).await?;
        Ok(read.items)
    }

    /// Reads the keys that a tenant gets, `preferred` ones before others. Only if one of them is a legacy key, another
    /// request reads whether those are enabled (`v1-get-project-legacy-api-keys`): the list holds them also after they were
    /// disabled.
    pub async fn chosen_keys(&self, reference: &str, preferred: &[String]) -> Result<ChosenKeys, Error> {
        let listed = self.api_keys(reference).await?;
        let legacy = Operation::GetLegacyKeys.into();
        self.choose_keys(legacy, reference, (&listed, preferred)).await
    }

    /// The same for a database in use, from the keys that [`Self::list_keys`] has read: nobody waits for it.
    pub async fn check_keys(
        &self,
        reference: &str,
        listed: &[ApiKey],
        preferred: &[String],
    ) -> Result<ChosenKeys, Error> {
        let legacy = Operation::GetLegacyKeys.as_check();
        self.choose_keys(legacy, reference, (listed, preferred)).await
    }

    /// `legacy` asks whether the legacy keys are enabled.
    async fn choose_keys(
        &self,
        legacy: ApiCall,
        reference: &str,
        (listed, preferred): (&[ApiKey], &[String]),
    ) -> Result<ChosenKeys, Error> {
        let chosen = keys::choose(listed, true, preferred)?;
        if !chosen.legacy || self.are_legacy_keys_enabled(legacy, reference).await? {
            return Ok(chosen);
        }
        keys::choose(listed, false, preferred)
    }

    /// Whether the project's legacy keys work. Nobody waits for it.
    ///
    /// # Errors
    /// When the provider does not answer, or refuses to.
    pub async fn legacy_keys_enabled(&self, reference: &str) -> Result<bool, Error> {
        let call = Operation::GetLegacyKeys.as_check();
        self.are_legacy_keys_enabled(call, reference).await
    }

    /// The operation will be removed together with the legacy keys: 404 means that there are none.
    async fn are_legacy_keys_enabled(&self, call: ApiCall, reference: &str) -> Result<bool, Error> {
        let path = ["v1", "projects", reference, "api-keys", "legacy"];
        let read: Result<LegacyKeys, Error> = self.read(call, reference, &path, vec![]).await;
        match read {
            Ok(legacy) => Ok(legacy.enabled),
            Err(error) if error.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes an API key (`v1-create-project-api-key`); a secret key has the role `service_role`. The API has no
    /// idempotency key: after an error that is [`Error::outcome_unknown`], the key is looked up by its name.
    pub async fn create_api_key(
        &self,
        reference: &str,
        kind: &KeyType,
        name: &str,
        description: &str,
    ) -> Result<ApiKey, Error> {
        let operation = Operation::CreateApiKey;
        let is_secret = *kind == KeyType::Secret;
        let body = encode(&CreateKeyBody {
            kind: kind.as_ref(),
            name,
            description,
            secret_jwt_template: is_secret.then(|| json!({"role": keys::SERVICE_ROLE})),
        })?;
        let path = ["v1", "projects", reference, "api-keys"];
        let request = HttpRequest {
            body: Some(body),
            query: vec![("reveal", "true".to_owned())],
            names: vec![reference, name],
            ..HttpRequest::new(operation, reference, Method::POST, &path)
        };
        let answer = decode(operation, &self.send(&request).await?)?;
        self.item(operation, reference, &answer)
    }

    /// Asks the project's own API whether it accepts a key: the gateway before its services answers 401 to a
    /// key that it does not know (supabase.com/docs/guides/troubleshooting/how-do-i-check-gotrueapi-version-of-a-supabase-project-lQAnOR).
    /// The token is not sent, and the key only to a trusted host: for other hosts there is no request.
    ///
    /// # Errors
    /// [`Error::KeyNotAccepted`] unless the answer is a success.
    pub async fn try_api_key(&self, reference: &str, key: &SecretString) -> Result<(), Error> {
        if !self.settings.trusts_projects() {
            tracing::debug!("the new API key is not tried: the projects' domain is not trusted with it");
            return Ok(());
        }
        let refused = |cause: String| Error::KeyNotAccepted { cause };
        let header = HeaderValue::from_str(key.expose_secret());
        let mut header = header.map_err(|_| refused("it has characters that no key has".to_owned()))?;
        header.set_sensitive(true);
        let url = format!("{}/auth/v1/health", self.settings.project_url(reference));
        // Without the token.
        let http = http_client(&self.settings, HeaderMap::new())?;
        let answer = http.get(url).header("apikey", header).send().await;
        let status = answer.map_err(|error| refused(causes(error)))?.status();
        if status.is_success() {
            return Ok(());
        }
        Err(refused(format!("HTTP {}", status.as_u16())))
    }

    /// Deletes an API key by its identity (`v1-delete-project-api-key`): it ceases to work at once. An error that
    /// [`Error::is_gone`] means that there was no such key.
    pub async fn delete_api_key(&self, reference: &str, id: &str) -> Result<(), Error> {
        let path = ["v1", "projects", reference, "api-keys", id];
        let request = HttpRequest {
            names: vec![reference, id],
            ..HttpRequest::new(Operation::DeleteApiKey, reference, Method::DELETE, &path)
        };
        done(Operation::DeleteApiKey, &self.send(&request).await?)
    }
}
