//! A batch of rows on its way from a worker to the host: its shape as a frame,
//! then its buffers one after another as they stand, so that millions of values
//! are copied and not encoded.

use std::io;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::wire;
use crate::bridge::bindings::ow::connector::storage::{Batch, Column, ColumnValues, VarValues};

/// Columns that a batch may have; the host refuses fewer by its own limit.
const MAX_SHAPE: usize = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
enum Shape {
    JsonLines(u32),
    Columns { rows: u32, columns: Vec<ColumnShape> },
}

#[derive(Serialize, Deserialize)]
struct ColumnShape {
    /// Bytes of the validity bitmap.
    validity: Option<u32>,
    kind: Kind,
    /// Values; for texts and binaries offsets.
    values: u32,
    /// Bytes of the data of texts and binaries.
    data: u32,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Booleans,
    Int64s,
    Float64s,
    Texts,
    Binaries,
    Dates,
    Timestamps,
}

/// The batch as pieces of a body.
pub(super) fn encode(batch: Batch) -> io::Result<Vec<Bytes>> {
    let mut buffers = Vec::new();
    let shape = match batch {
        Batch::JsonLines(lines) => {
            let shape = Shape::JsonLines(count(lines.len())?);
            buffers.push(lines.into());
            shape
        }
        Batch::Columns((rows, columns)) => {
            let columns = columns.into_iter().map(|column| encode_column(column, &mut buffers));
            Shape::Columns { rows, columns: columns.collect::<io::Result<_>>()? }
        }
    };
    buffers.insert(0, wire::frame(&shape)?);
    Ok(buffers)
}

fn encode_column(column: Column, buffers: &mut Vec<Bytes>) -> io::Result<ColumnShape> {
    let validity = column.validity.as_ref().map(|bits| count(bits.len())).transpose()?;
    buffers.extend(column.validity.map(Bytes::from));
    let (kind, values, data) = match column.values {
        ColumnValues::Booleans(values) => fixed(Kind::Booleans, values, u8::to_le_bytes, buffers)?,
        ColumnValues::Int64s(values) => fixed(Kind::Int64s, values, i64::to_le_bytes, buffers)?,
        ColumnValues::Float64s(values) => fixed(Kind::Float64s, values, f64::to_le_bytes, buffers)?,
        ColumnValues::Dates(values) => fixed(Kind::Dates, values, i32::to_le_bytes, buffers)?,
        ColumnValues::Timestamps(values) => fixed(Kind::Timestamps, values, i64::to_le_bytes, buffers)?,
        ColumnValues::Texts(values) => variable(Kind::Texts, values, buffers)?,
        ColumnValues::Binaries(values) => variable(Kind::Binaries, values, buffers)?,
    };
    Ok(ColumnShape { validity, kind, values, data })
}

fn fixed<T: Copy, const N: usize>(
    kind: Kind,
    values: Vec<T>,
    bytes: fn(T) -> [u8; N],
    buffers: &mut Vec<Bytes>,
) -> io::Result<(Kind, u32, u32)> {
    let values_count = count(values.len())?;
    let mut buffer = Vec::with_capacity(values.len().saturating_mul(N));
    values.into_iter().for_each(|value| buffer.extend_from_slice(&bytes(value)));
    buffers.push(buffer.into());
    Ok((kind, values_count, 0))
}

fn variable(kind: Kind, values: VarValues, buffers: &mut Vec<Bytes>) -> io::Result<(Kind, u32, u32)> {
    let data = count(values.data.len())?;
    let (kind, offsets, _) = fixed(kind, values.offsets, u32::to_le_bytes, buffers)?;
    buffers.push(values.data.into());
    Ok((kind, offsets, data))
}

fn count(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The batch of a whole body.
pub(super) fn decode(body: Bytes) -> io::Result<Batch> {
    let mut body = BytesMut::from(body);
    let shape = wire::take_frame(&mut body, MAX_SHAPE)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut rest = Buffers(&body);
    let batch = match wire::decode(&shape)? {
        Shape::JsonLines(bytes) => Batch::JsonLines(rest.take(bytes)?.to_vec()),
        Shape::Columns { rows, columns } => {
            let columns = columns.into_iter().map(|shape| decode_column(&shape, &mut rest));
            Batch::Columns((rows, columns.collect::<io::Result<_>>()?))
        }
    };
    if rest.0.is_empty() { Ok(batch) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn decode_column(shape: &ColumnShape, rest: &mut Buffers<'_>) -> io::Result<Column> {
    let validity = shape.validity.map(|bytes| rest.take(bytes).map(<[u8]>::to_vec)).transpose()?;
    let values = match shape.kind {
        Kind::Booleans => ColumnValues::Booleans(rest.take(shape.values)?.to_vec()),
        Kind::Int64s => ColumnValues::Int64s(rest.values(shape.values, i64::from_le_bytes)?),
        Kind::Float64s => ColumnValues::Float64s(rest.values(shape.values, f64::from_le_bytes)?),
        Kind::Dates => ColumnValues::Dates(rest.values(shape.values, i32::from_le_bytes)?),
        Kind::Timestamps => ColumnValues::Timestamps(rest.values(shape.values, i64::from_le_bytes)?),
        Kind::Texts => ColumnValues::Texts(rest.variable(shape)?),
        Kind::Binaries => ColumnValues::Binaries(rest.variable(shape)?),
    };
    Ok(Column { validity, values })
}

/// What of a body is not taken yet.
struct Buffers<'a>(&'a [u8]);

impl<'a> Buffers<'a> {
    fn take(&mut self, bytes: u32) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes as usize).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn values<T, const N: usize>(&mut self, count: u32, value: fn([u8; N]) -> T) -> io::Result<Vec<T>> {
        let bytes = u64::from(count) * N as u64;
        let bytes = self.take(u32::try_from(bytes).map_err(|_| io::ErrorKind::UnexpectedEof)?)?;
        let (chunks, _) = bytes.as_chunks::<N>();
        Ok(chunks.iter().copied().map(value).collect())
    }

    fn variable(&mut self, shape: &ColumnShape) -> io::Result<VarValues> {
        let offsets = self.values(shape.values, u32::from_le_bytes)?;
        Ok(VarValues { offsets, data: self.take(shape.data)?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Batch {
        let var = || VarValues { offsets: vec![0, 1, 3], data: b"abc".to_vec() };
        let column = |validity, values| Column { validity, values };
        Batch::Columns((
            2,
            vec![
                column(Some(vec![0b10]), ColumnValues::Booleans(vec![0b01])),
                column(None, ColumnValues::Int64s(vec![i64::MIN, i64::MAX])),
                column(None, ColumnValues::Float64s(vec![-0.0, 1.5])),
                column(None, ColumnValues::Texts(var())),
                column(Some(vec![]), ColumnValues::Binaries(var())),
                column(None, ColumnValues::Dates(vec![-1, i32::MAX])),
                column(None, ColumnValues::Timestamps(vec![0, -1])),
            ],
        ))
    }

    #[test]
    fn batches_round_trip() {
        for batch in [columns(), Batch::JsonLines(b"{}\n{}".to_vec()), Batch::Columns((0, Vec::new()))] {
            let body = encode(batch.clone()).unwrap().concat();
            assert_eq!(decode(body.into()).unwrap(), batch);
        }
    }

    #[test]
    fn no_cut_or_changed_body_is_taken_for_another_length() {
        let body = encode(columns()).unwrap().concat();
        for length in 0..body.len() {
            assert!(decode(Bytes::copy_from_slice(&body[..length])).is_err(), "{length}");
        }
        assert!(decode([body.as_slice(), b"x"].concat().into()).is_err());
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 0xff;
            // An error or another batch, but no panic and no huge allocation.
            let _ = decode(changed.into());
        }
    }
}
