//! The fake AWS: started by the tests, ended with the test's process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_athena::types::{QueryExecutionContext, ResultConfiguration};

use super::super::*;
use super::*;

/// A running fake.
pub(super) struct Cloud {
    pub(super) url: String,
    child: Child,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // The shell around the fake ends it when its input ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn python() -> String {
    std::env::var("OW_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn folder() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cloud");
    std::env::var_os("OW_TEST_CLOUD").map_or(default, PathBuf::from)
}

impl Cloud {
    /// A fake of its own, for tests that arm faults.
    pub(super) fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(cloud) => Some(cloud),
            Err(why) => {
                let said = format!(
                    "SKIPPED: the fake AWS cannot be started ({why}); set OW_TEST_PYTHON and OW_TEST_CLOUD"
                );
                assert!(std::env::var_os("OW_TEST_REQUIRE_CLOUD").is_none_or(|value| value != "1"), "{said}");
                let _ = writeln!(std::io::stderr(), "{said}");
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let script = "\"$0\" \"$1\" --port 0 --queue-seconds 0 --run-seconds 0 & pid=$!; cat >/dev/null; kill $pid; wait $pid";
        let mut child = Command::new("sh")
            .args(["-c", script, &python()])
            .arg(folder().join("fake_athena.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let _ = said.send(line);
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
        });
        if let Ok(first) = heard.recv_timeout(Duration::from_secs(120)) {
            line = first;
        }
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let cloud = Self { url: ready["listening"].as_str().unwrap_or_default().to_owned(), child };
        if cloud.url.is_empty() { Err(format!("it said `{}`", line.trim())) } else { Ok(cloud) }
    }

    /// The fake that tests without faults share.
    pub(super) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cloud>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(super) fn arm(&self, rules: Value) {
        self.ask("POST", "/_fake/faults", &rules.to_string());
    }

    /// Disarms all rules; answers how many had not fired to their end.
    pub(super) fn disarm(&self) -> usize {
        let left: Value = serde_json::from_str(&self.ask("GET", "/_fake/faults", "")).unwrap();
        self.ask("DELETE", "/_fake/faults", "");
        left.as_array().unwrap().len()
    }

    /// How many requests of an operation there were.
    pub(super) fn requests(&self, op: &str) -> usize {
        let found: Value =
            serde_json::from_str(&self.ask("GET", &format!("/_fake/requests?op={op}"), "")).unwrap();
        found.as_array().unwrap().len()
    }

    pub(super) fn python(&self, script: &str, arguments: &[&str]) -> String {
        let output =
            Command::new(python()).arg("-c").arg(script).arg(&self.url).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A bucket and a database of a test's own.
pub(super) struct Place<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) params: Params,
    pub(super) service: Service,
    pub(super) runtime: tokio::runtime::Runtime,
}

impl<'a> Place<'a> {
    pub(super) fn new(cloud: &'a Cloud) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let params = serde_json::json!({
            "AWSRegion": "us-east-1", "AWSAccessKeyId": "AKIA1", "AWSSecretAccessKey": "hush",
            "S3BucketName": name, "S3Prefix": "some/ads/", "AthenaDatabaseName": name,
            "AthenaOutputLocation": format!("s3://{name}/results"), "Endpoint": cloud.url, "ApplyInterval": 0,
        });
        let params = params.as_object().unwrap().clone();
        let runtime = run::runtime().unwrap();
        let service = runtime.block_on(Service::connect(&Parameters::parse(params.clone()).unwrap()));
        runtime.block_on(service.s3.create_bucket().bucket(&name).send()).unwrap();
        Self { cloud, params, service, runtime }
    }

    pub(super) fn with(&self, name: &str, value: Value) -> Params {
        let mut params = self.params.clone();
        params.insert(name.to_owned(), value);
        params
    }

    pub(super) fn try_open(&self, run: &RunInfo) -> Result<AthenaStorage, StorageError> {
        self.try_open_with(self.params.clone(), run)
    }

    pub(super) fn try_open_with(&self, params: Params, run: &RunInfo) -> Result<AthenaStorage, StorageError> {
        AthenaStorage::open(&Parameters::parse(params)?, run)
    }

    pub(super) fn open(&self, run: &RunInfo) -> AthenaStorage {
        self.try_open(run).unwrap()
    }

    /// A run that writes batches to one table and ends well.
    pub(super) fn load(
        &self,
        run: &RunInfo,
        schema: &TableSchema,
        mode: WriteMode,
        batches: &[RecordBatch],
    ) -> Result<(), StorageError> {
        let mut storage = self.try_open(run)?;
        let table = storage.open_table(schema, mode)?;
        for batch in batches {
            storage.write(table, batch)?;
        }
        storage.finish(Outcome::Succeeded, &StateChanges::new(), None)
    }

    pub(super) fn execute(&self, sql: &str) {
        self.runtime.block_on(self.service.define(sql)).unwrap();
    }

    /// The rows of a query, in their order as text.
    pub(super) fn query(&self, sql: &str) -> Vec<String> {
        let mut rows = self.runtime.block_on(self.rows(sql));
        rows.sort();
        rows
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let athena = &self.service.athena;
        let context = QueryExecutionContext::builder().database(&self.service.place.database).build();
        let output = ResultConfiguration::builder()
            .output_location("s3://".to_owned() + &self.service.place.bucket + "/read/")
            .build();
        let id = athena
            .start_query_execution()
            .query_string(sql)
            .query_execution_context(context)
            .result_configuration(output)
            .send()
            .await
            .unwrap()
            .query_execution_id
            .unwrap();
        loop {
            let status = athena.get_query_execution().query_execution_id(&id).send().await.unwrap();
            let status = status.query_execution.unwrap().status.unwrap();
            match status.state.unwrap().as_str() {
                "SUCCEEDED" => break,
                "FAILED" | "CANCELLED" => panic!("{sql}: {:?}", status.state_change_reason),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        let answer = athena.get_query_results().query_execution_id(&id).send().await.unwrap();
        let rows = answer.result_set.unwrap().rows.unwrap();
        let text = |datum: &aws_sdk_athena::types::Datum| {
            datum.var_char_value.clone().unwrap_or_else(|| "null".to_owned())
        };
        rows.iter().skip(1).map(|row| row.data().iter().map(text).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Keys below the prefix that contain a text.
    pub(super) fn keys(&self, part: &str) -> Vec<String> {
        let keys = self.runtime.block_on(self.service.list_all("")).unwrap();
        keys.into_iter().filter(|key| key.contains(part)).collect()
    }

    pub(super) fn state(&self) -> BTreeMap<String, String> {
        Athena.read_state(self.params.clone(), Path::new("."), "dm").unwrap()
    }

    /// As if the process that holds the lease had died.
    pub(super) fn forget_lease(&self) {
        self.runtime.block_on(self.service.delete(&self.keys("lease.json"))).unwrap();
    }

    pub(super) fn stage_tables(&self) -> Vec<String> {
        let request = self.service.athena.list_table_metadata().catalog_name("AwsDataCatalog");
        let answer =
            self.runtime.block_on(request.database_name(&self.service.place.database).send()).unwrap();
        let names = answer.table_metadata_list.unwrap_or_default().into_iter().map(|table| table.name);
        names.filter(|name| name.starts_with("_ow_stage")).collect()
    }
}
