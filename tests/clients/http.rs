//! What loads web servers, and what loads from them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::served::{Served, Tested};
use crate::tool::{failed, run, value};
use crate::{Client, connections, workers};

pub(crate) const CLIENTS: &[Client] = &[
    ("curl_keeps_its_connection", &["which", "curl"], curl_keeps),
    ("curl_in_parallel", &["which", "curl"], curl_in_parallel),
    ("curl_is_refused_an_upload", &["which", "curl"], curl_uploads),
    ("ab", &["which", "ab"], |strategy| ab(strategy, &["-k"])),
    ("ab_without_keep_alive", &["which", "ab"], |strategy| ab(strategy, &[])),
    ("wrk", &["which", "wrk"], |strategy| wrk(strategy, &[])),
    ("wrk_pipelined", &["which", "wrk"], |strategy| {
        wrk(strategy, &["-s", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/pipeline.lua")])
    }),
    ("h2load", &["which", "h2load"], h2load),
];

/// How many requests are made, by those that can be told.
const REQUESTS: &str = "2000";

/// Serves a folder.
pub(crate) fn serve(strategy: &str, folder: &Path) -> Tested<Served> {
    let folder = folder.to_str().ok_or("not UTF-8")?;
    let options = ["--quiet", "--strategy", strategy, "--workers", workers(strategy)];
    Served::start(&[&options[..], &["--addr", "127.0.0.1:0", "--dir", folder]].concat())
}

/// A server with a small file, the URL of that, and the folder.
fn small(strategy: &str) -> Tested<(Served, String, TempDir)> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("small"), [b's'; 1000])?;
    let server = serve(strategy, folder.path())?;
    let url = format!("http://{}/small", server.address);
    Ok((server, url, folder))
}

fn curl_keeps(strategy: &str) -> Tested {
    let (_server, url, _folder) = small(strategy)?;
    let urls = format!("{url}?[1-100]");
    let command = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download} %{num_connects}\n",
        &urls,
    ];
    let said = run(&command)?;
    let first = said.lines().filter(|line| *line == "200 1000 1").count();
    let others = said.lines().filter(|line| *line == "200 1000 0").count();
    if (first, others) == (1, 99) { Ok(()) } else { Err(failed(&command, &"not on one", &said)) }
}

fn curl_in_parallel(strategy: &str) -> Tested {
    let (_server, url, _folder) = small(strategy)?;
    let urls = format!("{url}?[1-100]");
    let most = connections(strategy);
    let command = [
        "curl",
        "-sS",
        "-Z",
        "--parallel-max",
        most,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}\n",
        &urls,
    ];
    let said = run(&command)?;
    let right = said.lines().filter(|line| *line == "200").count();
    if right == 100 { Ok(()) } else { Err(failed(&command, &right, &said)) }
}

/// A body that is read, one that is announced, and one that is too long: each gets its answer.
fn curl_uploads(strategy: &str) -> Tested {
    let (_server, url, folder) = small(strategy)?;
    for (length, fields, status) in [
        (1000, "Expect:", "405"),
        (1000, "Expect: 100-continue", "405"),
        (1000, "Transfer-Encoding: chunked", "405"),
        (3_000_000, "Expect:", "413"),
    ] {
        let file = folder.path().join("upload");
        fs::write(&file, vec![b'u'; length])?;
        let file = file.to_str().ok_or("not UTF-8")?;
        let command = [
            "curl",
            "-sS",
            "-T",
            file,
            "-H",
            fields,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ];
        let said = run(&command)?;
        if said != status {
            return Err(failed(&command, &status, &said));
        }
    }
    Ok(())
}

fn ab(strategy: &str, options: &[&str]) -> Tested {
    let (_server, url, _folder) = small(strategy)?;
    let mut command = vec!["ab", "-q", "-n", REQUESTS, "-c", connections(strategy)];
    command.extend(options);
    command.push(&url);
    let said = run(&command)?;
    let kept = if options.contains(&"-k") { REQUESTS } else { "0" };
    let right = value(&said, "Complete requests:")? == [REQUESTS]
        && value(&said, "Failed requests:")? == ["0"]
        && (kept == "0" || value(&said, "Keep-Alive requests:")? == [kept])
        && !said.contains("Non-2xx");
    if right { Ok(()) } else { Err(failed(&command, &"requests have failed", &said)) }
}

fn wrk(strategy: &str, options: &[&str]) -> Tested {
    let (_server, url, _folder) = small(strategy)?;
    let mut command = vec!["wrk", "-t", "1", "-d", "1s", "-c", connections(strategy)];
    command.extend(options);
    command.push(&url);
    let said = run(&command)?;
    let some = value(&said, "Requests/sec:")?.first().is_some_and(|rate| *rate != "0.00");
    if some && !said.contains("Socket errors") && !said.contains("Non-2xx") {
        Ok(())
    } else {
        Err(failed(&command, &"requests have failed", &said))
    }
}

fn h2load(strategy: &str) -> Tested {
    let (_server, url, _folder) = small(strategy)?;
    let command = ["h2load", "--h1", "-n", REQUESTS, "-c", connections(strategy), &url];
    let said = run(&command)?;
    let right = value(&said, "status codes:")?.starts_with(&[REQUESTS, "2xx,"])
        && said.contains(", 0 failed, 0 errored, 0 timeout");
    if right { Ok(()) } else { Err(failed(&command, &"requests have failed", &said)) }
}
