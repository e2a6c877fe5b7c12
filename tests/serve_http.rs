//! The example `serve` as a web server: every rule of HTTP that it keeps, and no way out of its
//! directory.

#[path = "support/served.rs"]
mod served;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::stat::Mode;
use served::{Answer, STRATEGIES, Served, Tested, ask, connect, exchange, get};
use tempfile::TempDir;

/// What a test of a way out looks for.
const SECRET: &str = "nobody may read this";

/// A directory to serve, in one that has a secret.
struct Site {
    around: TempDir,
    root: PathBuf,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Tested<Self> {
        let around = TempDir::new()?;
        fs::write(around.path().join("secret"), SECRET)?;
        fs::create_dir(around.path().join("private"))?;
        fs::write(around.path().join("private/index.html"), SECRET)?;
        let root = around.path().join("site");
        fs::create_dir(&root)?;
        let site = Self { around, root };
        for (name, text) in files {
            let path = site.root.join(name);
            fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            fs::write(path, text)?;
        }
        Ok(site)
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    fn serve(&self) -> Tested<Served> {
        Served::start(&[
            OsStr::new("--addr"),
            OsStr::new("127.0.0.1:0"),
            OsStr::new("--dir"),
            self.root.as_os_str(),
        ])
    }
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn set_modified(path: &Path, seconds: u64) -> Tested {
    Ok(File::open(path)?.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))?)
}

#[test]
fn a_file_is_sent_whole_with_its_type_length_and_dates() -> Tested {
    let site = Site::new(&[("a.txt", "some text")])?;
    set_modified(&site.root.join("a.txt"), 1_000_000_000)?;
    let answer = get(&site.serve()?.address, "/a.txt?query")?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "some text"));
    assert_eq!(answer.field("content-length"), Some("9"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.field("last-modified"), Some(date(1_000_000_000).as_str()));
    assert_eq!(answer.field("accept-ranges"), Some("bytes"));
    assert_eq!(answer.field("connection"), Some("close"));
    httpdate::parse_http_date(answer.field("date").ok_or("no date")?)?;
    Ok(())
}

#[test]
fn the_type_is_that_of_the_name() -> Tested {
    let types = [
        ("page.html", "text/html"),
        ("style.css", "text/css; charset=utf-8"),
        ("picture.png", "image/png"),
        ("DATA.JSON", "application/json"),
        ("archive.tar.gz", "application/gzip"),
        ("LICENSE", "application/octet-stream"),
    ];
    let site = Site::new(&types.map(|(name, _)| (name, "")))?;
    let server = site.serve()?;
    for (name, wanted) in types {
        let answer = get(&server.address, &format!("/{name}"))?;
        assert_eq!(answer.field("content-type"), Some(wanted), "{name}");
        assert_eq!(answer.field("content-length"), Some("0"), "{name}");
    }
    Ok(())
}

#[test]
fn head_has_the_fields_of_get_and_no_body() -> Tested {
    let site = Site::new(&[("a.txt", "some text"), ("folder/b", "")])?;
    let server = site.serve()?;
    for target in ["/a.txt", "/folder/", "/folder", "/missing"] {
        let (get, head) =
            (get(&server.address, target)?, ask(&server.address, "HEAD", target, "")?);
        assert_eq!(head.status, get.status, "{target}");
        for name in ["content-length", "content-type", "last-modified", "location"] {
            assert_eq!(head.field(name), get.field(name), "{target}: {name}");
        }
        let length: usize = get.field("content-length").ok_or("no length")?.parse()?;
        assert_eq!((head.body.len(), get.body.len()), (0, length), "{target}");
    }
    Ok(())
}

#[test]
fn a_file_that_the_peer_has_is_not_sent_again() -> Tested {
    let site = Site::new(&[("a.txt", "some text")])?;
    set_modified(&site.root.join("a.txt"), 1_000_000_000)?;
    let server = site.serve()?;
    let seen = |seconds| format!("If-Modified-Since: {}\r\n", date(seconds));
    let cases = [
        (seen(1_000_000_000), 304),
        (seen(1_000_000_001), 304),
        (seen(999_999_999), 200),
        ("If-Modified-Since: yesterday\r\n".into(), 200),
        // An entity tag decides alone.
        (seen(1_000_000_000) + "If-None-Match: \"x\"\r\n", 200),
    ];
    for (fields, status) in cases {
        let answer = ask(&server.address, "GET", "/a.txt", &fields)?;
        assert_eq!(answer.status, status, "{fields}");
        assert_eq!(answer.body.is_empty(), status == 304, "{fields}");
        assert_eq!(answer.field("last-modified"), Some(date(1_000_000_000).as_str()));
    }
    Ok(())
}

#[test]
fn parts_of_a_file() -> Tested {
    let site = Site::new(&[("ten", "0123456789"), ("none", "")])?;
    let server = site.serve()?;
    let part = |range: &'static str, text: &'static str| (206, Some(range), text);
    let whole = (200, None, "0123456789");
    let cases = [
        ("bytes=0-3", part("bytes 0-3/10", "0123")),
        ("bytes=4-4", part("bytes 4-4/10", "4")),
        ("bytes=7-", part("bytes 7-9/10", "789")),
        ("bytes=7-99", part("bytes 7-9/10", "789")),
        ("bytes=0-99999999999999999999999", part("bytes 0-9/10", "0123456789")),
        ("bytes=-3", part("bytes 7-9/10", "789")),
        ("bytes=-99", part("bytes 0-9/10", "0123456789")),
        ("Bytes = 0-0", part("bytes 0-0/10", "0")),
        // What is no range, or is several, is answered by the whole.
        ("bytes=3-2", whole),
        ("bytes=", whole),
        ("bytes=-", whole),
        ("bytes=a-b", whole),
        ("bytes=+1-2", whole),
        ("lines=0-3", whole),
        ("bytes=0-1,4-5", whole),
    ];
    for (range, (status, content_range, text)) in cases {
        let answer = ask(&server.address, "GET", "/ten", &format!("Range: {range}\r\n"))?;
        let got = (answer.status, answer.field("content-range"), &*answer.text());
        assert_eq!(got, (status, content_range, text), "{range}");
        let length = text.len().to_string();
        assert_eq!(answer.field("content-length"), Some(length.as_str()), "{range}");
    }
    for (target, range, length) in
        [("/ten", "10-", 10), ("/ten", "10-20", 10), ("/ten", "-0", 10), ("/none", "0-", 0)]
    {
        let answer = ask(&server.address, "GET", target, &format!("Range: bytes={range}\r\n"))?;
        assert_eq!(answer.status, 416, "{target} {range}");
        let wanted = format!("bytes */{length}");
        assert_eq!(answer.field("content-range"), Some(wanted.as_str()), "{target} {range}");
    }
    // It has a last part, which can't be written as one.
    assert_eq!(ask(&server.address, "GET", "/none", "Range: bytes=-5\r\n")?.status, 200);
    Ok(())
}

#[test]
fn a_part_is_for_get_and_for_the_file_that_the_peer_knows() -> Tested {
    let site = Site::new(&[("ten", "0123456789")])?;
    set_modified(&site.root.join("ten"), 1_000_000_000)?;
    let server = site.serve()?;
    let range = "Range: bytes=0-3\r\n";
    assert_eq!(ask(&server.address, "HEAD", "/ten", range)?.status, 200);
    let same = format!("{range}If-Range: {}\r\n", date(1_000_000_000));
    assert_eq!(ask(&server.address, "GET", "/ten", &same)?.status, 206);
    for other in [date(1_000_000_001), "\"a tag\"".into()] {
        let changed = format!("{range}If-Range: {other}\r\n");
        assert_eq!(ask(&server.address, "GET", "/ten", &changed)?.text(), "0123456789", "{other}");
    }
    Ok(())
}

#[test]
fn a_listing_has_what_can_be_had_under_safe_names() -> Tested {
    let site =
        Site::new(&[("<b>&'\".txt", "odd"), ("a:b", ""), ("Folder/x", ""), ("100%", "all")])?;
    fs::write(site.root.join(OsStr::from_bytes(b"bad\xff")), "not UTF-8")?;
    symlink(site.outside("secret"), site.root.join("way-out"))?;
    symlink("Folder", site.root.join("shortcut"))?;
    nix::unistd::mkfifo(&site.root.join("fifo"), Mode::S_IRWXU)?;
    let server = site.serve()?;
    let answer = get(&server.address, "/")?;
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    let links = links(&answer);
    let wanted = ["100%25", "%3Cb%3E%26%27%22.txt", "a%3Ab", "bad%FF", "Folder/", "shortcut/"];
    assert_eq!(links, wanted, "{}", answer.text());
    assert!(answer.text().contains(">&lt;b&gt;&amp;&#39;&quot;.txt</a>"), "{}", answer.text());
    for link in links {
        assert_eq!(get(&server.address, &format!("/{link}"))?.status, 200, "{link}");
    }
    assert_eq!(get(&server.address, "/bad%FF")?.text(), "not UTF-8");
    assert_eq!(get(&server.address, "/100%")?.text(), "all");
    let inner = get(&server.address, "/Folder/")?;
    assert_eq!(links_of(&inner.text()), ["../", "x"]);
    Ok(())
}

fn links(answer: &Answer) -> Vec<String> {
    links_of(&answer.text())
}

fn links_of(page: &str) -> Vec<String> {
    let rest = page.split("href=\"").skip(1);
    rest.filter_map(|rest| rest.split_once('"')).map(|(link, _)| link.to_owned()).collect()
}

#[test]
fn an_index_page_stands_for_its_folder() -> Tested {
    let site = Site::new(&[
        ("both/index.html", "html"),
        ("both/index.htm", "htm"),
        ("one/index.htm", "htm"),
        ("folder/index.html/x", ""),
        ("link/page", "behind a link"),
    ])?;
    symlink("page", site.root.join("link/index.html"))?;
    fs::create_dir(site.root.join("out"))?;
    symlink(site.outside("secret"), site.root.join("out/index.html"))?;
    let server = site.serve()?;
    let text = |target| get(&server.address, target).map(|answer| answer.text());
    assert_eq!(text("/both/")?, "html");
    assert_eq!(text("/one/")?, "htm");
    assert_eq!(text("/link/")?, "behind a link");
    assert!(text("/folder/")?.contains("index.html/"), "a folder is no index page");
    let out = text("/out/")?;
    assert!(out.contains("Index of /out/") && !out.contains(SECRET), "{out}");
    Ok(())
}

#[test]
fn a_folder_without_a_slash_is_redirected() -> Tested {
    let site = Site::new(&[("a b/c/x", "")])?;
    let server = site.serve()?;
    for (target, location) in [
        ("/a%20b", "/a%20b/"),
        ("/a%20b/c?x=1&y=%20", "/a%20b/c/?x=1&y=%20"),
        // With two slashes at its start, a location names a host.
        ("//a%20b", "/a%20b/"),
        ("///a%20b/./c/../c", "/a%20b/c/"),
        ("http://here/a%20b", "/a%20b/"),
    ] {
        let answer = get(&server.address, target)?;
        assert_eq!((answer.status, answer.field("location")), (301, Some(location)), "{target}");
    }
    assert_eq!(get(&server.address, "/a%20b/c/x/")?.status, 404, "a file is no folder");
    Ok(())
}

#[test]
fn there_is_no_way_out() -> Tested {
    let site = Site::new(&[("in/a.txt", "inside")])?;
    symlink(site.outside("secret"), site.root.join("file-out"))?;
    symlink(site.outside("private"), site.root.join("folder-out"))?;
    symlink("..", site.root.join("up"))?;
    symlink("loop", site.root.join("loop"))?;
    // It begins with the root's path, and is beside it.
    let beside = site.outside("site-secret");
    fs::write(&beside, SECRET)?;
    symlink(&beside, site.root.join("beside"))?;
    let absolute = site.outside("secret");
    let absolute = absolute.to_str().ok_or("a name")?;
    let server = site.serve()?;
    let targets = [
        "/../secret",
        "/in/../../secret",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/..%2fsecret",
        "/in%2f..%2f..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/%252e%252e/secret",
        "/../site/../secret",
        "http://here/../secret",
        "/secret%00",
        "/in/a.txt%00",
        "/%00",
        "/in%2fa.txt",
        "/file-out",
        "/folder-out/",
        "/folder-out/index.html",
        "/up/secret",
        "/up/",
        "/loop",
        "/beside",
        &format!("/{absolute}"),
        &format!("/{}", absolute.replace('/', "%2f")),
        &format!("/in/{}", "x".repeat(300)),
    ];
    for target in targets {
        let answer = get(&server.address, target)?;
        assert_eq!(answer.status, 404, "{target}: {}", answer.text());
        assert!(!answer.text().contains(SECRET), "{target}");
    }
    // `..` stays inside: it ends at the root.
    assert_eq!(get(&server.address, "/../../in/./x/../a.txt")?.text(), "inside");
    Ok(())
}

#[test]
fn links_that_stay_inside_are_followed() -> Tested {
    let site = Site::new(&[("in/a.txt", "inside")])?;
    symlink("in", site.root.join("relative"))?;
    symlink(site.root.join("in/a.txt"), site.root.join("absolute.css"))?;
    // The root itself may be named by a link.
    symlink(&site.root, site.outside("alias"))?;
    let alias = site.outside("alias");
    let server = Served::start(&["--addr", "127.0.0.1:0", "--dir", alias.to_str().ok_or("name")?])?;
    assert_eq!(get(&server.address, "/relative/a.txt")?.text(), "inside");
    let answer = get(&server.address, "/absolute.css")?;
    assert_eq!(answer.text(), "inside");
    assert_eq!(answer.field("content-type"), Some("text/css; charset=utf-8"));
    Ok(())
}

#[test]
fn what_is_no_file_is_not_opened() -> Tested {
    let site = Site::new(&[])?;
    nix::unistd::mkfifo(&site.root.join("fifo"), Mode::S_IRWXU)?;
    let _socket = std::os::unix::net::UnixListener::bind(site.root.join("socket"))?;
    let server = site.serve()?;
    for target in ["/fifo", "/socket", "/fifo/"] {
        assert_eq!(get(&server.address, target)?.status, 404, "{target}");
    }
    Ok(())
}

#[test]
fn a_request_that_is_wrong_is_told_what_is() -> Tested {
    let site = Site::new(&[("a.txt", "some text")])?;
    let server = site.serve()?;
    let many = "X: y\r\n".repeat(200);
    let long = "x".repeat(20_000);
    let cases = [
        ("GET /a.txt HTTP/1.1\r\n\r\n".into(), 400),
        ("GET /a.txt HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("GET a.txt HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("GET ftp://here/a.txt HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("GET /a.txt HTTP/1.1\r\nHost : a\r\n\r\n".into(), 400),
        ("GET /a.txt\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1} a hello of TLS".into(), 400),
        ("GET /missing HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404),
        ("get /a.txt HTTP/1.1\r\nHost: a\r\n\r\n".into(), 501),
        ("BREW /a.txt HTTP/1.1\r\nHost: a\r\n\r\n".into(), 501),
        ("GET /a.txt HTTP/2.0\r\nHost: a\r\n\r\n".into(), 505),
        (format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET /a.txt HTTP/1.1\r\nHost: a\r\nX: {long}"), 431),
        // HTTP/1.0 knows no hosts; a proxy's request has one in its target.
        ("GET /a.txt HTTP/1.0\r\n\r\n".into(), 200),
        ("GET http://here/a.txt HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200),
        ("\r\nGET /a.txt HTTP/1.1\nHost: a\n\n".into(), 200),
    ];
    for (request, status) in cases {
        let answer = exchange(connect(&server.address)?, request.as_bytes())?;
        let shown = &request[..request.len().min(80)];
        assert_eq!(answer.status, status, "{shown:?}");
        let length = answer.body.len().to_string();
        assert_eq!(answer.field("content-length"), Some(length.as_str()), "{shown:?}");
    }
    Ok(())
}

#[test]
fn methods_that_change_something_are_not_allowed() -> Tested {
    let site = Site::new(&[("a.txt", "some text")])?;
    let server = site.serve()?;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"] {
        let answer = ask(&server.address, method, "/a.txt", "")?;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    assert_eq!(fs::read_to_string(site.root.join("a.txt"))?, "some text");
    Ok(())
}

#[test]
fn a_head_may_have_16_kib_and_come_in_pieces() -> Tested {
    let site = Site::new(&[("a.txt", "some text")])?;
    let server = site.serve()?;
    let start = "GET /a.txt HTTP/1.1\r\nHost: a\r\nX: ";
    let longest =
        |length: usize| format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4));
    let status = |head: String| exchange(connect(&server.address)?, head.as_bytes());
    assert_eq!(status(longest(16 * 1024))?.status, 200);
    assert_eq!(status(longest(16 * 1024 + 1))?.status, 431);

    let mut connection = connect(&server.address)?;
    connection.set_nodelay(true)?;
    for byte in b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r" {
        connection.write_all(&[*byte])?;
    }
    assert_eq!(exchange(connection, b"\n")?.text(), "some text");
    Ok(())
}

#[test]
fn a_peer_that_leaves_early_is_no_trouble() -> Tested {
    let site = Site::new(&[("a.txt", "some text")])?;
    let server = site.serve()?;
    drop(connect(&server.address)?);
    let mut silent = connect(&server.address)?;
    silent.shutdown(Shutdown::Write)?;
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing)?;
    assert!(nothing.is_empty(), "{nothing:?}");

    let mut cut = connect(&server.address)?;
    cut.write_all(b"GET /a.txt HT")?;
    cut.shutdown(Shutdown::Write)?;
    assert_eq!(exchange(cut, b"")?.status, 400);
    assert_eq!(get(&server.address, "/a.txt")?.status, 200);
    Ok(())
}

#[test]
fn an_answer_survives_the_body_that_nobody_reads() -> Tested {
    let site = Site::new(&[])?;
    let server = site.serve()?;
    // More than the buffers of the sockets hold at first, so the server has to take some of it.
    let body = vec![b'x'; 512 * 1024];
    for _ in 0..20 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), &body].concat();
        assert_eq!(exchange(connect(&server.address)?, &request)?.status, 413);
    }
    Ok(())
}

#[test]
fn every_strategy_and_both_stream_transports_serve_files() -> Tested {
    let text = "0123456789abcdef".repeat(200_000);
    let site = Site::new(&[("big", &text)])?;
    let dir = site.root.to_str().ok_or("a name")?;
    let socket = site.outside("socket");
    let socket = socket.to_str().ok_or("a name")?;
    for strategy in STRATEGIES {
        let options = ["--dir", dir, "--strategy", strategy, "--mode", "files"];
        let tcp = Served::start(&[&options[..], &["--addr", "127.0.0.1:0"]].concat())?;
        let unix =
            Served::start(&[&options[..], &["--transport", "unix", "--addr", socket]].concat())?;
        // Both are connected before either is answered.
        let (first, second) = (connect(&tcp.address)?, connect(&tcp.address)?);
        let request = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(exchange(first, request)?.text() == text, "{strategy}: tcp, first");
        assert!(exchange(second, request)?.text() == text, "{strategy}: tcp, second");
        let connection = UnixStream::connect(&unix.address)?;
        assert!(exchange(connection, request)?.text() == text, "{strategy}: unix");
        unix.signal(nix::sys::signal::Signal::SIGTERM)?;
        assert!(unix.end()?.0.success());
    }
    Ok(())
}
