//! Parquet files on their way to S3: encoded in memory, sent in parts while the
//! next rows come, a few at a time.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::service::{Condition, Service, failed};
use super::trouble::fault;
use crate::StorageError;

/// Encoded rows that wait for a row group to be full.
const ROW_GROUP: usize = 24 * 1024 * 1024;
/// The size of a part; S3 asks for 5 MiB.
const PART: usize = 8 * 1024 * 1024;
/// When a file is full: what Athena reads best.
const FILE: usize = 256 * 1024 * 1024;
/// Parts on their way at the same time, of all files of a run.
pub(super) const IN_FLIGHT: usize = 4;

/// A file that is being written.
pub(super) struct File {
    service: Arc<Service>,
    key: String,
    writer: ArrowWriter<Vec<u8>>,
    upload: Option<String>,
    parts: Vec<JoinHandle<Result<CompletedPart, StorageError>>>,
    sent: usize,
}

impl File {
    pub(super) fn new(service: &Arc<Service>, key: String, schema: SchemaRef) -> Result<Self, StorageError> {
        let level = ZstdLevel::try_new(1).unwrap_or_default();
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(encoding)?;
        Ok(Self { service: Arc::clone(service), key, writer, upload: None, parts: Vec::new(), sent: 0 })
    }

    /// Takes rows.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), StorageError> {
        self.writer.write(rows).map_err(encoding)
    }

    /// Sends what is enough to be sent; answers whether the file is full.
    pub(super) async fn flush_full(&mut self, permits: &Arc<Semaphore>) -> Result<bool, StorageError> {
        if self.writer.memory_size().max(self.writer.in_progress_size()) >= ROW_GROUP {
            self.flush(permits).await?;
        }
        Ok(self.sent >= FILE)
    }

    /// Memory that the rows in it take.
    pub(super) fn memory(&self) -> usize {
        self.writer.memory_size().max(self.writer.in_progress_size()) + self.writer.inner().len()
    }

    /// Ends the row group, and sends what makes a part.
    pub(super) async fn flush(&mut self, permits: &Arc<Semaphore>) -> Result<(), StorageError> {
        self.writer.flush().map_err(encoding)?;
        // The writer counts what it wrote by itself, so its buffer may be taken.
        while self.writer.inner().len() >= PART {
            let rest = self.writer.inner_mut().split_off(PART);
            let part = std::mem::replace(self.writer.inner_mut(), rest);
            self.send(part, permits).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Vec<u8>, permits: &Arc<Semaphore>) -> Result<(), StorageError> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let request = self.service.s3.create_multipart_upload();
                let answer = request.bucket(&self.service.place.bucket).key(&self.key).send().await;
                let answer = answer.map_err(|error| {
                    self.service.explain(fault(error), &format!("upload object `{}`", self.key))
                })?;
                self.upload.insert(answer.upload_id.unwrap_or_default()).clone()
            }
        };
        self.sent += part.len();
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let permit = Arc::clone(permits).acquire_owned().await;
        let permit = permit.map_err(|_| failed("the storage is closed", false))?;
        let (service, key) = (Arc::clone(&self.service), self.key.clone());
        self.parts.push(tokio::spawn(async move {
            let request = service.s3.upload_part().bucket(&service.place.bucket).key(&key);
            let request = request.upload_id(upload).part_number(number);
            let answer = request.body(ByteStream::from(Bytes::from(part))).send().await;
            drop(permit);
            let answer =
                answer.map_err(|error| service.explain(fault(error), &format!("upload object `{key}`")))?;
            Ok(CompletedPart::builder().set_e_tag(answer.e_tag).part_number(number).build())
        }));
        Ok(())
    }

    /// Ends the file; it is in S3, whole, when this returns. Answers its key.
    pub(super) async fn close(mut self, permits: &Arc<Semaphore>) -> Result<String, StorageError> {
        self.writer.finish().map_err(encoding)?;
        let rest = std::mem::take(self.writer.inner_mut());
        if self.upload.is_none() && rest.len() <= 2 * PART {
            self.service.put(&self.key, rest, Condition::Always).await?;
            return Ok(std::mem::take(&mut self.key));
        }
        self.send(rest, permits).await?;
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in std::mem::take(&mut self.parts) {
            let sent = part.await;
            parts.push(sent.map_err(|error| failed(format!("an upload was lost: {error}"), true))??);
        }
        self.complete(parts).await?;
        Ok(std::mem::take(&mut self.key))
    }

    async fn complete(&self, parts: Vec<CompletedPart>) -> Result<(), StorageError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.service.s3.complete_multipart_upload();
        let request = request.bucket(&self.service.place.bucket).key(&self.key);
        let request = request.set_upload_id(self.upload.clone()).multipart_upload(parts);
        let Err(error) = request.send().await else { return Ok(()) };
        let fault = fault(error);
        // It was completed, and the answer to that was lost.
        if fault.code == "NoSuchUpload" && self.service.exists(&self.key).await? {
            return Ok(());
        }
        Err(self.service.explain(fault, &format!("upload object `{}`", self.key)))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for part in &self.parts {
            part.abort();
        }
    }
}

fn encoding(error: parquet::errors::ParquetError) -> StorageError {
    failed(format!("rows cannot be written as Parquet: {error}"), false)
}
