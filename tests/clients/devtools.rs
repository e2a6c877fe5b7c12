//! A browser that does as it is told, over the `DevTools` protocol: messages of JSON, each ended by a
//! zero byte, through two pipes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use tempfile::TempDir;

use crate::served::{LIMIT, Tested};

/// A browser without a window, with one page.
pub(crate) struct Browser {
    child: Child,
    orders: ChildStdin,
    said: Receiver<String>,
    session: String,
    asked: u32,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Tested<Self> {
        let profile = tempfile::tempdir()?;
        // It takes its orders from descriptor 3, and answers to 4.
        let command = format!(
            "exec chromium --headless --no-sandbox --disable-gpu --remote-debugging-pipe \
             --user-data-dir='{}' about:blank 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null",
            profile.path().display(),
        );
        let mut child = Command::new("sh")
            .args(["-c", &command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no pipe")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let (tell, said) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let mut message = Vec::new();
                let length = answers.read_until(0, &mut message).unwrap_or(0);
                let text = String::from_utf8_lossy(&message).into_owned();
                if length == 0 || tell.send(text).is_err() {
                    return;
                }
            }
        });
        let session = String::new();
        let mut browser = Self { child, orders, said, session, asked: 0, _profile: profile };
        let target = browser.order("Target.createTarget", "\"url\":\"about:blank\"")?;
        let target = string(&target, "targetId")?;
        let attach = format!("\"targetId\":\"{target}\",\"flatten\":true");
        let attached = browser.order("Target.attachToTarget", &attach)?;
        browser.session = format!(",\"sessionId\":\"{}\"", string(&attached, "sessionId")?);
        Ok(browser)
    }

    /// What it answers to an order.
    fn order(&mut self, method: &str, parameters: &str) -> Tested<String> {
        self.asked += 1;
        let Self { asked, session, .. } = self;
        let order = format!(
            "{{\"id\":{asked},\"method\":\"{method}\",\"params\":{{{parameters}}}{session}}}\0"
        );
        self.orders.write_all(order.as_bytes())?;
        let own = format!("{{\"id\":{asked},");
        loop {
            // Between the answers it tells what happens.
            let answer =
                self.said.recv_timeout(LIMIT).map_err(|error| format!("{method}: {error}"))?;
            if answer.starts_with(&own) {
                let failed =
                    answer.contains("\"exceptionDetails\"") || answer.contains("\"error\":{");
                return if failed { Err(answer.into()) } else { Ok(answer) };
            }
        }
    }

    pub(crate) fn open(&mut self, url: &str) -> Tested {
        self.order("Page.navigate", &format!("\"url\":\"{url}\"")).map(drop)
    }

    /// The text that an expression of the page has for its value: one without quotation marks, which
    /// need not be unpacked.
    pub(crate) fn value(&mut self, expression: &str) -> Tested<String> {
        let parameters = format!("\"expression\":{expression:?},\"awaitPromise\":true");
        let said = self.order("Runtime.evaluate", &parameters)?;
        string(&said, "value").map(str::to_owned)
    }

    /// Waits until the page is so.
    pub(crate) fn wait_for(&mut self, condition: &str) -> Tested {
        let look = format!(
            "new Promise((done) => {{ const look = () => {{ let so = false; \
             try {{ so = {condition}; }} catch {{}} \
             so ? done('so') : setTimeout(look, 20); }}; look(); }})"
        );
        match self.value(&look) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{condition}: {error}").into()),
        }
    }

    /// Has the page be as wide as this, and light or dark.
    pub(crate) fn resize(&mut self, width: u32, height: u32, scheme: &str) -> Tested {
        let size = format!(
            "\"width\":{width},\"height\":{height},\"deviceScaleFactor\":1,\"mobile\":false"
        );
        self.order("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme =
            format!("\"features\":[{{\"name\":\"prefers-color-scheme\",\"value\":\"{scheme}\"}}]");
        self.order("Emulation.setEmulatedMedia", &scheme).map(drop)
    }

    /// Writes a picture of what is to be seen.
    pub(crate) fn picture(&mut self, file: &Path) -> Tested {
        let said = self.order("Page.captureScreenshot", "\"format\":\"png\"")?;
        Ok(fs::write(file, decoded(string(&said, "data")?)?)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.order("Browser.close", "");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first text of this name in a message.
fn string<'a>(message: &'a str, name: &str) -> Tested<&'a str> {
    let begin = format!("\"{name}\":\"");
    let rest = message.split_once(&begin).ok_or_else(|| format!("no {name} in {message}"))?.1;
    Ok(rest.split_once('"').ok_or("a text without an end")?.0)
}

/// What was encoded by base64 (RFC 4648, 4).
fn decoded(text: &str) -> Tested<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|other| *other == digit).ok_or("not base64")?;
        (bits, count) = ((bits << 6) | u32::try_from(value)?, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff)?);
        }
    }
    Ok(bytes)
}
