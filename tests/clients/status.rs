//! The example `status`, and its page in a browser: a thousand connections, and every button.
//!
//! Where the environment variable `STATUS_PICTURES` names a folder, it is photographed into that, at
//! three widths, light and dark.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::devtools::Browser;
use crate::served::{Served, Tested, connect, example, exchange};

#[path = "../../examples/serve/limits.rs"]
mod limits;

const CONNECTIONS: usize = 1000;
/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(100);

/// The example, the address of the echo, and that of the page.
fn start() -> Tested<(Served, String)> {
    let mut served = Served::run(&mut Command::new(example("status")?))?;
    let page = served.listening()??;
    Ok((served, page))
}

/// A connection whose line has been echoed.
fn echoed(address: &str) -> Tested<TcpStream> {
    let client = connect(address)?;
    speak(&client)?;
    hear(&client)?;
    Ok(client)
}

fn speak(mut client: &TcpStream) -> Tested {
    Ok(client.write_all(b"hello\n")?)
}

fn hear(client: &TcpStream) -> Tested {
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line)?;
    if line == "hello\n" { Ok(()) } else { Err(format!("{line:?} came back").into()) }
}

/// Whether nothing has come for a while.
fn is_silent(mut client: &TcpStream) -> Tested<bool> {
    client.set_read_timeout(Some(A_WHILE))?;
    let silent = client.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    client.set_read_timeout(Some(crate::served::LIMIT))?;
    Ok(silent)
}

pub(crate) fn shows_a_thousand() -> Tested {
    limits::raise_open_files();
    let (server, page) = start()?;
    let mut clients =
        (0..CONNECTIONS).map(|_| echoed(&server.address)).collect::<Tested<Vec<_>>>()?;
    let mut browser = Browser::start()?;
    browser.resize(800, 1000, "light")?;
    browser.open(&format!("http://{page}/"))?;
    browser.wait_for("byId('total').textContent === '1,000'")?;
    browser.wait_for("document.querySelector('[data-count=accepted]').textContent === '1,000'")?;
    // Those that can be seen, in their order.
    let first = clients[0].local_addr()?.to_string();
    browser.wait_for(&format!("rows.rows[0].cells[1].textContent === '{first}'"))?;
    browser.wait_for("rows.rows.length > 10 && rows.rows.length < 100")?;
    let last = clients[CONNECTIONS - 1].local_addr()?.to_string();
    browser.value("list.scrollTop = list.scrollHeight; 'scrolled'")?;
    browser.wait_for(&format!("rows.lastChild.cells[1].textContent === '{last}'"))?;
    browser.value("list.scrollTop = 0; 'scrolled'")?;

    // The counters move.
    clients.push(echoed(&server.address)?);
    browser.wait_for("document.querySelector('[data-count=accepted]').textContent === '1,001'")?;
    browser.wait_for("byId('total').textContent === '1,001'")?;

    cuts(&mut browser, &mut clients)?;
    suspends(&mut browser, &server.address)?;
    resizes(&mut browser)?;
    let took = browser.value(
        "(() => { const begun = performance.now(); for (let i = 0; i < 100; i++) show(); \
         return String((performance.now() - begun) / 100); })()",
    )?;
    println!("to show {CONNECTIONS} connections once more takes {took} ms");
    fits(&mut browser, &clients)
}

/// Cuts the connection of the first row.
fn cuts(browser: &mut Browser, clients: &mut Vec<TcpStream>) -> Tested {
    let mut cut = clients.remove(0);
    let first = cut.local_addr()?.to_string();
    browser.wait_for(&format!("rows.rows[0].cells[1].textContent === '{first}'"))?;
    browser.value("rows.rows[0].querySelector('button').click(); 'pressed'")?;
    assert_eq!(cut.read(&mut [0])?, 0);
    browser.wait_for("byId('total').textContent === '1,000'")?;
    let next = clients[0].local_addr()?.to_string();
    browser.wait_for(&format!("rows.rows[0].cells[1].textContent === '{next}'"))?;
    speak(&clients[0])?;
    hear(&clients[0])
}

fn suspends(browser: &mut Browser, echo: &str) -> Tested {
    browser.value("byId('suspend').click(); 'pressed'")?;
    browser.wait_for("byId('state').textContent === 'suspended'")?;
    let waiting = connect(echo)?;
    speak(&waiting)?;
    assert!(is_silent(&waiting)?, "it is not suspended");
    browser.wait_for("byId('suspend').textContent === 'Resume'")?;
    browser.value("byId('suspend').click(); 'pressed'")?;
    hear(&waiting)?;
    browser.wait_for("byId('state').textContent === 'serving'")
}

fn resizes(browser: &mut Browser) -> Tested {
    let submit = |min, max| {
        format!(
            "(() => {{ const form = byId('pool'); form.min.value = {min}; form.max.value = {max}; \
             form.requestSubmit(); return 'pressed'; }})()"
        )
    };
    browser.value(&submit(2, 6))?;
    browser.wait_for("state.min === 2 && state.max === 6")?;
    browser.value(&submit(6, 2))?;
    browser
        .wait_for("!byId('trouble').hidden && byId('trouble').textContent.includes('at most')")?;
    browser.value(&submit(1, 4))?;
    browser.wait_for("byId('trouble').hidden && state.max === 4")
}

/// Nothing is wider than the window, at any width; and whoever wants to looks at it.
fn fits(browser: &mut Browser, clients: &[TcpStream]) -> Tested {
    browser.value("window.isWhole = (cell) => cell.scrollWidth <= cell.clientWidth; 'defined'")?;
    // Something for the chart to show.
    for clients in clients.chunks(200) {
        let before = browser.value("String(samples.bytes.length)")?;
        clients.iter().try_for_each(|client| speak(client).and_then(|()| hear(client)))?;
        browser.wait_for(&format!("samples.bytes.length > {before}"))?;
    }
    for (width, height) in [(360, 1300), (800, 1000), (1400, 1000)] {
        for scheme in ["light", "dark"] {
            browser.resize(width, height, scheme)?;
            browser.wait_for(&format!("innerWidth === {width}"))?;
            browser.wait_for("document.documentElement.scrollWidth <= innerWidth")?;
            browser.wait_for("[...rows.querySelectorAll('td')].every(isWhole)")?;
            if let Some(folder) = env::var_os("STATUS_PICTURES") {
                browser
                    .picture(&Path::new(&folder).join(format!("status-{width}-{scheme}.png")))?;
            }
        }
    }
    Ok(())
}

/// What is not the page's own doing does nothing.
pub(crate) fn obeys_its_own_page_alone() -> Tested {
    let (_server, page) = start()?;
    let ask = |method: &str, path: &str, fields: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n");
        exchange(connect(&page)?, head.as_bytes()).map(|answer| (answer.status, answer.text()))
    };
    let host = format!("Host: {page}\r\n");
    let port = page.rsplit_once(':').ok_or("no port")?.1;
    let own = format!("{host}Origin: http://{page}\r\n");
    let other = format!("{host}Origin: http://evil.example\r\n");
    let opaque = format!("{host}Origin: null\r\n");
    let rebound = format!("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n");
    let local = format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n");
    for fields in [&host, &other, &opaque, &rebound] {
        assert_eq!(ask("POST", "/suspend", fields)?.0, 403, "{fields}");
    }
    assert_eq!(ask("GET", "/state", &rebound)?.0, 403);
    assert!(ask("GET", "/state", &host)?.1.contains("\"suspended\":false"));
    // A page elsewhere may have the browser get something; it does nothing, and is not told.
    assert_eq!(ask("GET", "/suspend", &host)?.0, 404);
    for fields in [&own, &local] {
        assert!(ask("POST", "/suspend", fields)?.1.contains("\"suspended\":true"));
        assert!(ask("POST", "/resume", fields)?.1.contains("\"suspended\":false"));
    }
    assert_eq!(ask("POST", "/cut", &own)?.0, 400);
    assert_eq!(ask("POST", "/nothing", &own)?.0, 400);
    Ok(())
}
