//! Parquet files to BigQuery: resumable uploads in chunks, and the load jobs
//! that they become.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Request};
use super::jobs::ATTEMPTS;
use super::trouble::Trouble;
use super::warehouse::Warehouse;

/// Bytes of a request of an upload: a multiple of 256 KiB, as the protocol
/// wants; what a broken connection costs.
const CHUNK: usize = 8 * 1024 * 1024;

/// A file that is to be loaded.
pub(super) struct Part {
    /// What its load job is called, without the number of the attempt.
    pub(super) name: String,
    /// The table that it is added to.
    pub(super) table: String,
    /// The columns of that table.
    pub(super) fields: Value,
    pub(super) file: Bytes,
}

/// Where an upload stands.
enum Step {
    /// BigQuery has this many bytes.
    At(usize),
    /// BigQuery has all of it, and the job is there.
    Taken,
    /// BigQuery does not know the upload any more, and says this.
    Lost(Trouble),
}

impl Warehouse {
    /// Uploads a file and waits for its load job; whether an attempt failed
    /// before, so that its rows might be there twice. Loads are atomic by
    /// BigQuery's word; whoever reads the table looks nevertheless.
    pub(super) async fn load(&self, part: &Part) -> Result<bool, Trouble> {
        let mut attempt = 0;
        loop {
            let id = format!("{}_{attempt}", part.name);
            let result = match self.upload(&id, part).await {
                Ok(()) => self.wait(&id).await.map(|_| ()),
                Err(trouble) => Err(trouble),
            };
            attempt += 1;
            match result {
                Ok(()) => return Ok(attempt > 1),
                Err(Trouble::Api(error))
                    if error.status == 0 && error.is_transient() && attempt < ATTEMPTS =>
                {
                    tokio::time::sleep(self.client.pace.wait(attempt)).await;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Brings a file to BigQuery, until the job of this id is there.
    async fn upload(&self, id: &str, part: &Part) -> Result<(), Trouble> {
        let mut failures = 0;
        'session: loop {
            let session = self.start(id, part).await?;
            let mut at = 0;
            loop {
                let before = failures;
                let mut step = self.chunk(&session, part, at).await;
                while let Err(trouble) = &step {
                    if trouble.is(409) {
                        // The job is there: the answer to the last chunk was lost.
                        return Ok(());
                    }
                    let transient = match trouble {
                        Trouble::Silent { .. } => true,
                        trouble => trouble.api().is_some_and(|error| error.is_transient()),
                    };
                    failures += 1;
                    if !transient || failures >= self.client.pace.attempts {
                        break;
                    }
                    tokio::time::sleep(self.client.pace.wait(failures - 1)).await;
                    step = self.ask(&session, part).await;
                }
                match step? {
                    Step::Taken => return Ok(()),
                    Step::At(there) if there > at => (at, failures) = (there, 0),
                    // Its failure is counted already.
                    Step::At(there) if failures > before => at = there,
                    Step::At(there) => {
                        failures += 1;
                        if failures >= self.client.pace.attempts {
                            return Err(Trouble::Silent {
                                what: format!("the upload to table `{}`", part.table),
                                error: format!("it does not take more than {there} bytes"),
                            });
                        }
                        tokio::time::sleep(self.client.pace.wait(failures - 1)).await;
                        at = there;
                    }
                    Step::Lost(trouble) => {
                        failures += 1;
                        if failures >= self.client.pace.attempts.min(4) {
                            return Err(trouble);
                        }
                        tokio::time::sleep(self.client.pace.wait(failures - 1)).await;
                        continue 'session;
                    }
                }
            }
        }
    }

    /// Announces an upload; the address that its chunks go to.
    async fn start(&self, id: &str, part: &Part) -> Result<String, Trouble> {
        let job = json!({
            "jobReference": self.job_reference(id),
            "configuration": { "load": {
                "destinationTable": self.reference(&part.table),
                "sourceFormat": "PARQUET",
                "createDisposition": "CREATE_NEVER",
                "writeDisposition": "WRITE_APPEND",
                "schema": { "fields": part.fields },
                "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
            }, "labels": { "ow-host": "1" } },
        });
        let parts = ["projects", &self.project, "jobs"];
        let request = Request {
            method: Method::POST,
            url: self.client.url("/upload/bigquery/v2", &parts, &[("uploadType", "resumable")]),
            headers: vec![
                ("Content-Type", "application/json; charset=UTF-8".to_owned()),
                ("X-Upload-Content-Type", "application/octet-stream".to_owned()),
                ("X-Upload-Content-Length", part.file.len().to_string()),
            ],
            body: job.to_string().into(),
            what: format!("the upload to table `{}`", part.table),
        };
        let answer = self.client.send(&request).await?;
        let location = answer.location.unwrap_or_default();
        if self.is_ours(&location) {
            return Ok(location);
        }
        Err(Trouble::internal(format!(
            "BigQuery wants the upload to table `{}` at another place than `Endpoint`",
            part.table
        )))
    }

    /// Whether an address may be sent the token: it is where BigQuery is, or
    /// Google's.
    fn is_ours(&self, address: &str) -> bool {
        let endpoint = url::Url::parse(&self.client.url("/", &[], &[]));
        let (Ok(endpoint), Ok(address)) = (endpoint, url::Url::parse(address)) else { return false };
        let google = address.scheme() == "https"
            && address.host_str().is_some_and(|host| host.ends_with(".googleapis.com"));
        google || endpoint.origin() == address.origin()
    }

    /// Sends the next chunk.
    async fn chunk(&self, session: &str, part: &Part, at: usize) -> Result<Step, Trouble> {
        let total = part.file.len();
        let end = at.saturating_add(CHUNK).min(total);
        let range = format!("bytes {at}-{}/{total}", end.saturating_sub(1));
        let body = part.file.slice(at.min(end)..end);
        self.put(session, part, range, body).await
    }

    /// Asks how much BigQuery has.
    async fn ask(&self, session: &str, part: &Part) -> Result<Step, Trouble> {
        self.put(session, part, format!("bytes */{}", part.file.len()), Bytes::new()).await
    }

    async fn put(&self, session: &str, part: &Part, range: String, body: Bytes) -> Result<Step, Trouble> {
        let request = Request {
            method: Method::PUT,
            url: session.to_owned(),
            headers: vec![("Content-Range", range)],
            body,
            what: format!("the upload to table `{}`", part.table),
        };
        match self.client.try_once(&request).await {
            Ok(answer) => Ok(step(&answer)),
            Err(trouble) if trouble.is(404) || trouble.is(410) => Ok(Step::Lost(trouble)),
            Err(trouble) => Err(trouble),
        }
    }
}

fn step(answer: &Answer) -> Step {
    if answer.status != 308 {
        return Step::Taken;
    }
    let end =
        answer.range.as_deref().and_then(|range| range.rsplit('-').next()?.trim().parse::<usize>().ok());
    Step::At(end.map_or(0, |end| end + 1))
}
