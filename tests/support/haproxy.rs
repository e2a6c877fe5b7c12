//! A HAProxy that runs.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::served::{LIMIT, Tested};

/// It is killed with the test.
pub struct HaProxy {
    child: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl HaProxy {
    pub fn is_installed() -> bool {
        Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok()
    }

    /// Starts it with this configuration, which has `PORT` for clients to come to, and these
    /// variables; they can come when this returns.
    pub fn start(configuration: &str, variables: &[(&str, &str)]) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        // Free by now; whoever takes it in between is the other's misfortune.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, configuration)?;
        let mut command = Command::new("haproxy");
        command.arg("-q").arg("-db").arg("-f").arg(&file).env("PORT", port.to_string());
        let child = command.envs(variables.iter().copied()).spawn()?;
        let proxy = Self { child, port, _folder: folder };
        proxy.wait()?;
        Ok(proxy)
    }

    /// Waits until clients can come.
    fn wait(&self) -> Tested {
        let end = Instant::now() + LIMIT;
        while let Err(error) = TcpStream::connect(("127.0.0.1", self.port)) {
            if Instant::now() > end {
                return Err(error.into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
