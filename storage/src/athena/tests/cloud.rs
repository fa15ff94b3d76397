//! The fake AWS, and places in it.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_athena::types::{QueryExecutionContext, ResultConfiguration};
use test_servers::{Control, Loan};

use super::super::*;
use super::*;

/// A fake that runs.
pub(super) struct Cloud {
    control: Control,
    pub(super) url: String,
    _loan: Loan,
}

impl Cloud {
    /// A fake of its own, for tests that arm faults.
    pub(super) fn start() -> Option<Self> {
        let loan =
            test_servers::borrow_fake("fake_athena.py", &["--queue-seconds", "0", "--run-seconds", "0"])
                .map_err(|missing| test_servers::skip(&missing))
                .ok()?;
        Some(Self { control: Control::new(&loan.address), url: loan.address.clone(), _loan: loan })
    }

    /// The fake that tests without faults share.
    pub(super) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cloud>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    pub(super) fn arm(&self, rules: Value) {
        self.control.arm(&rules);
    }

    /// Disarms all rules; answers how many had not fired to their end.
    pub(super) fn disarm(&self) -> usize {
        let left = self.control.armed().len();
        self.control.disarm();
        left
    }

    /// How many requests of an operation there were.
    pub(super) fn requests(&self, op: &str) -> usize {
        self.control.requests_of(op).len()
    }

    pub(super) fn python(&self, script: &str, arguments: &[&str]) -> String {
        let output = Command::new(test_servers::python().unwrap())
            .arg("-c")
            .arg(script)
            .arg(&self.url)
            .args(arguments)
            .output()
            .unwrap();
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
