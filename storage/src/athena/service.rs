//! S3 and Athena, as far as this storage needs them: objects, conditional
//! writes, listings and deletions of any size.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;

use super::Parameters;
use super::trouble::{Fault, fault};
use crate::StorageError;

/// How often the vendor's client repeats a request that failed for the moment.
const ATTEMPTS: u32 = 6;
/// The longest pause between two of these.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most keys that S3 takes in one request.
const DELETE_CHUNK: usize = 1000;
/// The largest object that is read into memory: table metadata and our records.
const MAX_OBJECT: i64 = 256 * 1024 * 1024;

/// Where everything is.
pub(super) struct Place {
    pub(super) region: String,
    pub(super) bucket: String,
    /// Empty, or ends with a slash.
    pub(super) prefix: String,
    pub(super) database: String,
    /// Where Athena writes results; none where the work group says it.
    pub(super) output: Option<String>,
    pub(super) work_group: Option<String>,
}

/// The clients and the place.
pub(super) struct Service {
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) athena: aws_sdk_athena::Client,
    pub(super) place: Place,
}

/// What has to hold for an object to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition<'a> {
    /// Nothing.
    Always,
    /// There is no such object.
    Absent,
    /// The object has this tag.
    Unchanged(&'a str),
}

/// What became of a conditional write.
pub(super) enum Put {
    /// It was written, and has this tag.
    Done(String),
    /// The condition does not hold; or it did, and the answer to the first
    /// attempt was lost.
    Taken,
}

/// An object's content and how it is known.
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) tag: String,
    /// Seconds since 1970, by the clock of S3.
    pub(super) modified: i64,
}

impl Service {
    pub(super) async fn connect(params: &Parameters) -> Self {
        let tls = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(params.region.clone()))
            .http_client(tls.build_https())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .read_timeout(Duration::from_secs(params.request_timeout))
                    .build(),
            );
        if let (Some(id), Some(secret)) = (&params.access_key_id, &params.secret_access_key) {
            let token = params.session_token.clone().filter(|token| !token.is_empty());
            loader = loader.credentials_provider(Credentials::new(id, secret, token, None, "configuration"));
        }
        let config = loader.load().await;
        let mut athena = aws_sdk_athena::config::Builder::from(&config);
        athena.set_endpoint_url(params.endpoint.clone().or_else(|| config.endpoint_url().map(str::to_owned)));
        let mut s3 = aws_sdk_s3::config::Builder::from(&config);
        let s3_endpoint = params.s3_endpoint.clone().or_else(|| params.endpoint.clone());
        if s3_endpoint.is_some() {
            // Emulators and private endpoints have no host name for each bucket.
            s3 = s3.force_path_style(true);
            s3.set_endpoint_url(s3_endpoint);
        }
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            athena: aws_sdk_athena::Client::from_conf(athena.build()),
            place: params.place(),
        }
    }

    /// The address of a key, as Athena takes it.
    pub(super) fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.place.bucket)
    }

    pub(super) fn explain(&self, fault: Fault, doing: &str) -> StorageError {
        fault.explain(&self.place, doing)
    }

    pub(super) async fn put(
        &self,
        key: &str,
        body: impl Into<Bytes>,
        condition: Condition<'_>,
    ) -> Result<Put, StorageError> {
        let body: Bytes = body.into();
        let mut conflicts = 0;
        loop {
            let request = self.s3.put_object().bucket(&self.place.bucket).key(key);
            let request = match condition {
                Condition::Always => request,
                Condition::Absent => request.if_none_match("*"),
                Condition::Unchanged(tag) => request.if_match(tag),
            };
            let fault = match request.body(ByteStream::from(body.clone())).send().await {
                Ok(answer) => return Ok(Put::Done(answer.e_tag.unwrap_or_default())),
                Err(error) => fault(error),
            };
            let conditional = !matches!(condition, Condition::Always);
            match fault.status {
                Some(412) if conditional => return Ok(Put::Taken),
                // The object that was to be unchanged is gone.
                Some(404) if conditional && fault.code == "NoSuchKey" => return Ok(Put::Taken),
                // Two conditional writes at the same moment.
                Some(409) if conditional && conflicts < ATTEMPTS => {
                    conflicts += 1;
                    tokio::time::sleep(Duration::from_millis(100 * u64::from(conflicts))).await;
                }
                _ => return Err(self.explain(fault, &format!("write object `{key}`"))),
            }
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>, StorageError> {
        self.get_from(&self.place.bucket, key).await
    }

    /// An object of any bucket; none if it is not there. An answer that breaks
    /// off is asked for again.
    pub(super) async fn get_from(&self, bucket: &str, key: &str) -> Result<Option<Object>, StorageError> {
        let doing = format!("read object `{key}`");
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = match self.s3.get_object().bucket(bucket).key(key).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let fault = fault(error);
                    if fault.code == "NoSuchKey" {
                        return Ok(None);
                    }
                    return Err(self.explain(fault, &doing));
                }
            };
            let length = answer.content_length.unwrap_or_default();
            if length > MAX_OBJECT {
                return Err(failed(format!("object `{key}` has {length} bytes, more than are read"), false));
            }
            let tag = answer.e_tag.clone().unwrap_or_default();
            let modified = answer.last_modified.map_or(0, |at| at.secs());
            match answer.body.collect().await {
                Ok(body) => return Ok(Some(Object { bytes: body.to_vec(), tag, modified })),
                Err(_) if attempts < ATTEMPTS => {}
                Err(error) => return Err(failed(format!("cannot {doing}: {error}"), true)),
            }
        }
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, StorageError> {
        match self.s3.head_object().bucket(&self.place.bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let fault = fault(error);
                if fault.status == Some(404) {
                    return Ok(false);
                }
                Err(self.explain(fault, &format!("look at object `{key}`")))
            }
        }
    }

    /// One page of the keys below a prefix, in their order, after a key; and
    /// whether there are more.
    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(Vec<String>, bool), StorageError> {
        let request = self.s3.list_objects_v2().bucket(&self.place.bucket).prefix(prefix);
        let answer = request.set_start_after(after.map(str::to_owned)).send().await;
        let answer = answer.map_err(|error| self.explain(fault(error), "list the bucket's objects"))?;
        let more = answer.is_truncated.unwrap_or_default();
        Ok((answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect(), more))
    }

    /// The keys below a prefix, in their order.
    pub(super) async fn list_all(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let (mut keys, mut more) = self.list(prefix, None).await?;
        while more {
            let (page, again) = self.list(prefix, keys.last().map(String::as_str)).await?;
            more = again && !page.is_empty();
            keys.extend(page);
        }
        Ok(keys)
    }

    /// Deletes objects, however many. Those that are gone already do no harm.
    pub(super) async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        for chunk in keys.chunks(DELETE_CHUNK) {
            let objects: Vec<_> =
                chunk.iter().filter_map(|key| ObjectIdentifier::builder().key(key).build().ok()).collect();
            let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
            let delete = delete.map_err(|error| failed(format!("cannot delete objects: {error}"), false))?;
            let answer = self.s3.delete_objects().bucket(&self.place.bucket).delete(delete).send().await;
            let answer = answer.map_err(|error| self.explain(fault(error), "delete objects"))?;
            if let Some(first) = answer.errors.unwrap_or_default().first() {
                return Err(failed(
                    format!(
                        "cannot delete object `{}`: {}; allow `s3:DeleteObject`",
                        first.key().unwrap_or_default(),
                        first.message().or(first.code()).unwrap_or("no reason given")
                    ),
                    true,
                ));
            }
        }
        Ok(())
    }

    /// Ends uploads in parts that a run which died left open; their parts cost
    /// money and are in no listing.
    pub(super) async fn abort_uploads(&self, prefix: &str) -> Result<(), StorageError> {
        let bucket = &self.place.bucket;
        let answer = self.s3.list_multipart_uploads().bucket(bucket).prefix(prefix).send().await;
        // Not every account may list them; the bucket's life-cycle rule is the other way.
        let Ok(answer) = answer else { return Ok(()) };
        for upload in answer.uploads.unwrap_or_default() {
            let (Some(key), Some(id)) = (upload.key, upload.upload_id) else { continue };
            if key.starts_with(prefix) {
                let _ = self.s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await;
            }
        }
        Ok(())
    }

    /// An object of ours, read as JSON.
    pub(super) async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Object)>, StorageError> {
        let Some(object) = self.get(key).await? else { return Ok(None) };
        let value = serde_json::from_slice(&object.bytes).map_err(|error| {
            failed(format!("object `{key}` is not what ow-host wrote there ({error}); a newer ow-host may have written it"), false)
        })?;
        Ok(Some((value, object)))
    }
}

/// A failure in our own words.
pub(super) fn failed(message: impl Into<String>, retryable: bool) -> StorageError {
    StorageError::Failed { message: message.into(), retryable }
}

/// Something of ours as JSON.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value).map_err(|error| failed(format!("a record cannot be written: {error}"), false))
}
