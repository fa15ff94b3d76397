//! A REST API over the network into a storage: a million records of ten fields
//! on a thousand pages, by the generic connector and by one written for them.
//! What counts is the processor time of the whole host; the server stands in
//! this process and is not counted.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::measure::spawn_times;

const PAGES: usize = 1000;
const RECORDS: usize = 1000;
const TIMES: usize = 3;

/// Who does this work into the same kind of storage on two cores, in records a
/// CPU-second: `faucet`, native Rust, and the fastest that is written in
/// Python. Measured before this project began, not in this run.
struct Peers {
    storage: &'static str,
    native: Option<f64>,
    python: (&'static str, f64),
}

const PEERS: [Peers; 3] = [
    Peers { storage: "Discard", native: None, python: ("Airbyte CDK 7.39", PYTHON) },
    Peers { storage: "Sqlite", native: Some(163_000.0), python: ("dlt 1.31", 15_463.0) },
    Peers { storage: "LocalFiles", native: Some(268_000.0), python: ("dlt 1.31", 26_865.0) },
];

/// The fastest in Python of all, which writes nowhere.
const PYTHON: f64 = 39_000.0;

/// Runs both connectors, page by page both ways, into each storage.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let server = Server::start()?;
    println!("{} pages of {RECORDS} records, {:.0} MB of JSON", PAGES, server.bytes as f64 / 1e6);
    println!("{:<46} {:>12} {:>14} {:>10} {:>9}", "", "wall", "records/CPU-s", "faucet", "in Python");
    for paging in ["page", "next_url"] {
        for peers in &PEERS {
            one(bench, &bench.rest_json, "rest-json", &generic(&server, paging), peers, paging)?;
            let own = json!({"RestUrl": server.url("/events"), "Paging": paging});
            one(bench, &bench.component, "hand-written", &own, peers, paging)?;
        }
    }
    Ok(())
}

/// The configuration of `rest-json`.
fn generic(server: &Server, paging: &str) -> Value {
    let pagination = match paging {
        "page" => json!({"page": {"TotalPages": "/pages"}}),
        _ => json!({"next_url": {"At": "/next"}}),
    };
    json!({
        "BaseUrl": server.url(""),
        "Streams": [{
            "Name": "events",
            "Path": "/events",
            "Records": "/data",
            "Pagination": pagination,
            "Schema": {
                "id": "int64", "name": "text", "email": "text", "created_at": "timestamp", "updated_at": "timestamp",
                "amount": "float64", "quantity": "int64", "active": "boolean", "country": "text", "note": "text",
            },
        }],
    })
}

fn one(
    bench: &Bench,
    component: &Path,
    who: &str,
    source: &Value,
    peers: &Peers,
    paging: &str,
) -> Result<()> {
    let storage = peers.storage;
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let url = source["BaseUrl"].as_str().or(source["RestUrl"].as_str()).unwrap_or_default();
    let origin = url.strip_suffix("/events").unwrap_or(url).to_owned();
    // Each run is a first load, as those of the peers were.
    let mut configs = (0..=TIMES)
        .map(|number| {
            let parameters = match storage {
                "Discard" => json!({}),
                _ => json!({"Path": format!("out.{number}")}),
            };
            let config = json!({
                "name": "rest",
                "source": {"config": source},
                "storage": {"name": storage, "config": parameters},
            });
            let path = folder.path().join(format!("config.{number}.json"));
            std::fs::write(&path, config.to_string())?;
            Ok(path)
        })
        .collect::<Result<Vec<PathBuf>>>()?;
    let mut command = || {
        let mut command = Command::new(&bench.host);
        command.arg("run").arg(component).arg("--config").arg(configs.pop().unwrap_or_default()).args([
            "-q",
            "--type",
            "FULL_REFRESH",
        ]);
        command.args(["--allow-net", &origin, "--timeout", "10m"]);
        command
    };
    spawn_times(1, &mut command)?; // Compiles the component.
    let times = spawn_times(TIMES, &mut command)?;
    let rate = (PAGES * RECORDS) as f64 / times.cpu;
    let (python, its_rate) = peers.python;
    println!(
        "{:<46} {:>10.2} s {rate:>14.0} {:>9} {:>7.1}x {python}, {:.1}x the fastest to nowhere",
        format!("{who} into {storage}, {paging}"),
        times.wall,
        peers.native.map_or_else(|| "-".to_owned(), |native| format!("{:.2}x", rate / native)),
        rate / its_rate,
        rate / PYTHON
    );
    Ok(())
}

/// A server whose pages are made before it starts.
struct Server {
    address: SocketAddr,
    bytes: usize,
}

impl Server {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let pages: Vec<Vec<u8>> = (0..PAGES).map(|number| page(number, address)).collect();
        let bytes = pages.iter().map(Vec::len).sum();
        let pages = Arc::new(pages);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                std::thread::spawn(move || serve(&stream, &pages));
            }
        });
        Ok(Self { address, bytes })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A page with its head.
fn page(number: usize, address: SocketAddr) -> Vec<u8> {
    let mut body = format!("{{\"page\":{},\"pages\":{PAGES},\"next\":", number + 1);
    match number + 1 < PAGES {
        true => body.push_str(&format!("\"http://{address}/events?page={}\"", number + 2)),
        false => body.push_str("null"),
    }
    body.push_str(",\"data\":[");
    let records: Vec<String> = (0..RECORDS).map(|index| record(number * RECORDS + index)).collect();
    body.push_str(&records.join(","));
    body.push_str("]}");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

fn record(id: usize) -> String {
    let pick = |names: &[&'static str]| names.get(id % names.len()).copied().unwrap_or_default();
    let (country, note) = (
        pick(&["DE", "AT", "CH", "PL", "FR"]),
        pick(&["checked by hand", "to be called back on Monday", ""]),
    );
    let (day, second) = (id % 28 + 1, id % 60);
    format!(
        "{{\"id\":{id},\"name\":\"customer number {id:07}\",\"email\":\"person.{id:07}@mail.example.com\",\
         \"created_at\":\"2024-03-{day:02}T10:{second:02}:00Z\",\"updated_at\":\"2024-04-{day:02}T11:00:{second:02}Z\",\
         \"amount\":{}.{:02},\"quantity\":{},\"active\":{},\"country\":\"{country}\",\"note\":\"{note}\"}}",
        id % 5000,
        id % 100,
        id % 97,
        id.is_multiple_of(3),
    )
}

fn serve(stream: &TcpStream, pages: &[Vec<u8>]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let (mut out, mut line) = (stream, String::new());
    while reader.read_line(&mut line)? > 0 {
        let target = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        line.clear();
        let number = target.split_once("page=").map_or("1", |(_, number)| number);
        let index = number.parse::<usize>()?.checked_sub(1).context("pages begin with 1")?;
        ensure!(target.starts_with("/events"), "there is no {target}");
        out.write_all(pages.get(index).context("there is no such page")?)?;
    }
    Ok(())
}
