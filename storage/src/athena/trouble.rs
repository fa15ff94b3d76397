//! What AWS answers when it cannot, in the words of the person who operates the
//! connector.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::service::Place;
use crate::StorageError;

/// An error of a service, as far as its meaning depends on it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) status: Option<u16>,
    /// The region that the bucket is in, where the answer says so.
    region: Option<String>,
}

/// Reads what matters from an error of the vendor's client.
pub(super) fn fault<E>(error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let response = error.raw_response();
    let status = response.map(|response| response.status().as_u16());
    let region =
        response.and_then(|response| response.headers().get("x-amz-bucket-region")).map(str::to_owned);
    let code = error.as_service_error().and_then(|error| error.code()).unwrap_or_default().to_owned();
    let said = error.as_service_error().and_then(|error| error.message()).map(str::to_owned);
    let message = said.unwrap_or_else(|| format!("{}", DisplayErrorContext(&error)));
    Fault { code, message, status, region }
}

const WRONG_KEYS: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "IncompleteSignature",
    "AuthFailure",
];
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"];
const DENIED: &[&str] = &["AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AccountProblem"];
const REDIRECTED: &[&str] = &[
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
];
const THROTTLED: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "SlowDown",
    "RequestLimitExceeded",
    "InternalServerException",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "RequestTimeout",
];

impl Fault {
    /// Whether the same request may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        let by_status = self.status.is_none_or(|status| status >= 500 || status == 429);
        by_status && !self.is_keyless() || THROTTLED.contains(&self.code.as_str())
    }

    /// No credentials were found at all.
    fn is_keyless(&self) -> bool {
        self.status.is_none() && self.message.contains("credentials")
    }

    /// Says it to the user; `doing` is what was tried, such as `list the
    /// bucket's objects`.
    pub(super) fn explain(self, place: &Place, doing: &str) -> StorageError {
        let is = |codes: &[&str]| codes.contains(&self.code.as_str());
        let config = |parameter: &str, message: String| StorageError::Config {
            message,
            parameter: Some(parameter.to_owned()),
        };
        let bucket = &place.bucket;
        if self.is_keyless() {
            return config(
                "AWSAccessKeyId",
                format!(
                    "no AWS credentials were found; set `AWSAccessKeyId` and `AWSSecretAccessKey`, or give them as the AWS tools take them (environment, profile, web identity, instance role): {}",
                    self.message
                ),
            );
        }
        if is(WRONG_KEYS) {
            return config(
                "AWSAccessKeyId",
                format!(
                    "AWS does not accept the credentials ({}: {}); check `AWSAccessKeyId`, `AWSSecretAccessKey` and `AWSSessionToken`",
                    self.code, self.message
                ),
            );
        }
        if is(EXPIRED) {
            return config(
                "AWSSessionToken",
                format!("the AWS credentials have expired ({}); give new ones", self.code),
            );
        }
        if is(REDIRECTED) || self.status == Some(301) {
            let where_to = self
                .region
                .map_or_else(|| "another region".to_owned(), |region| format!("region `{region}`"));
            return config(
                "AWSRegion",
                format!(
                    "bucket `{bucket}` is in {where_to} and `AWSRegion` is `{}`; set `AWSRegion` to the bucket's region, or name a bucket of this region ({})",
                    place.region, self.message
                ),
            );
        }
        if self.code == "NoSuchBucket" || (self.status == Some(404) && self.code == "NotFound") {
            return config(
                "S3BucketName",
                format!(
                    "there is no bucket `{bucket}`; create it in region `{}`, or set `S3BucketName`",
                    place.region
                ),
            );
        }
        if is(DENIED) || self.status == Some(403) {
            return StorageError::Config {
                message: format!(
                    "the AWS credentials may not {doing} (bucket `{bucket}`, database `{}`): {}; allow it, see the permissions in the documentation of this storage",
                    place.database, self.message
                ),
                parameter: None,
            };
        }
        let retryable = self.is_transient();
        let code = if self.code.is_empty() { String::new() } else { format!("{}: ", self.code) };
        let advice = if retryable { "; run again later" } else { "" };
        StorageError::Failed { message: format!("cannot {doing}: {code}{}{advice}", self.message), retryable }
    }
}
