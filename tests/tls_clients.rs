//! Clients of TLS that others have written, against the example `serve` under every strategy. Those
//! that are not installed are left out, and the line of each says so.

#[path = "support/tls/authority.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests share it, and need more of it")]
mod authority;
#[path = "support/footprint.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests share it, and look at more")]
mod footprint;
#[path = "support/served.rs"]
mod served;
#[path = "clients/silent.rs"]
mod silent;
#[path = "support/time.rs"]
mod time;
#[path = "clients/tool.rs"]
#[allow(dead_code, reason = "other tests share it, and need more of it")]
mod tool;

use std::fs;
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use socketserver::{Selecting, Sync, ThreadPool, Threading};
use tempfile::TempDir;
use wait_timeout::ChildExt;

use authority::Authority;
use served::{LIMIT, STRATEGIES, Served, Tested};

const NAME: &str = "localhost";

/// Strategies under which a connection that waits is in nobody's way.
const ROOMY: [&str; 4] =
    ["threading", "pre-forking+threading", "selecting", "selecting+thread-pool"];

/// A name, the command whose presence it needs, and what is to be shown under a strategy.
type Client = (&'static str, &'static [&'static str], fn(&'static str) -> Tested);

const CLIENTS: &[Client] = &[
    ("openssl_in_each_version", &["openssl", "version"], openssl_versions),
    ("openssl_where_it_has_to_fail", &["openssl", "version"], openssl_failures),
    ("openssl_with_a_certificate", &["openssl", "version"], openssl_certificates),
    ("openssl_asks_to_renegotiate", &["openssl", "version"], openssl_renegotiates),
    ("gnutls_in_each_version", &["gnutls-cli", "--version"], gnutls),
    ("curl_gets_files", &["curl", "--version"], curl),
    ("h2load_at_once", &["h2load", "--version"], h2load),
];

fn main() -> ExitCode {
    let trials = STRATEGIES.iter().flat_map(|strategy| {
        let silent = test(format!("a_thousand_silent_ones_{strategy}"), || silent::pages(strategy));
        // Elsewhere so many are more than there may be at a time.
        let silent = silent.with_ignored_flag(!ROOMY.contains(strategy));
        CLIENTS.iter().map(move |client| trial(strategy, *client)).chain([silent])
    });
    let share = "the_share_of_a_thousand_silent_ones";
    let shares = [
        test(format!("{share}_threading"), || silent::share(Threading::new())),
        test(format!("{share}_selecting"), || silent::share(Selecting::new(Sync))),
        test(format!("{share}_selecting+thread-pool"), || {
            silent::share(Selecting::new(ThreadPool::new(2)))
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.chain(shares).collect()).exit_code()
}

fn test(name: String, run: impl FnOnce() -> Tested + Send + 'static) -> Trial {
    Trial::test(name, || run().map_err(|error| Failed::from(error.to_string())))
}

fn trial(strategy: &'static str, (name, probe, run): Client) -> Trial {
    let lack = (!tool::works(probe)).then(|| format!("`{}` fails here", probe.join(" ")));
    let trial = test(format!("{name}_{strategy}"), move || run(strategy));
    trial.with_ignored_flag(lack.is_some()).with_kind(lack.unwrap_or_default())
}

/// A server, and what its clients need.
struct Rig {
    served: Served,
    dir: TempDir,
    servers: Authority,
    clients: Authority,
}

impl Rig {
    fn start(strategy: &str, mode: &str, with_clients: bool) -> Tested<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let (servers, clients) = (Authority::new("servers")?, Authority::new("clients")?);
        let (certificate, key) = servers.files(NAME)?;
        fs::write(path("cert.pem"), certificate)?;
        fs::write(path("key.pem"), key)?;
        fs::write(path("ca.pem"), &servers.pem)?;
        fs::write(path("clients.pem"), &clients.pem)?;
        fs::create_dir(path("files"))?;
        fs::write(path("files/page"), "p".repeat(100_000))?;
        let text = |name: &str| path(name).to_string_lossy().into_owned();
        let mut options: Vec<String> =
            ["--addr", "127.0.0.1:0", "--strategy", strategy, "--mode", mode]
                .map(str::to_owned)
                .into();
        options.extend(["--dir".into(), text("files"), "--tls".into()]);
        options.extend([text("cert.pem"), text("key.pem")]);
        if with_clients {
            options.extend(["--client-ca".into(), text("clients.pem")]);
        }
        Ok(Self { served: Served::start(&options)?, dir, servers, clients })
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        path.to_string_lossy().into_owned()
    }

    fn port(&self) -> &str {
        self.served.address.rsplit(':').next().unwrap_or_default()
    }

    /// Has openssl send `input`; whether it ended well, and what it said.
    fn s_client(&self, options: &[&str], input: &str) -> Tested<(bool, String)> {
        let (address, authority) = (&*self.served.address, self.path("ca.pem"));
        let mut words = vec!["openssl", "s_client", "-connect", address, "-servername", NAME];
        words.extend(["-CAfile", &authority, "-verify_return_error"]);
        words.extend(options);
        say(&words, input)
    }

    /// One line there and back.
    fn is_alive(&self, options: &[&str]) -> Tested {
        let (well, said) = self.s_client(&[&["-quiet"], options].concat(), "a line\n")?;
        if well && said.ends_with("a line\n") { Ok(()) } else { Err(said.into()) }
    }
}

/// Runs a command with this input; whether it ended well, and all that it said.
fn say(words: &[&str], input: &str) -> Tested<(bool, String)> {
    let (mut spoken, mut said) = (tempfile::tempfile()?, tempfile::tempfile()?);
    spoken.write_all(input.as_bytes())?;
    spoken.rewind()?;
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::from(spoken))
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?)
        .spawn()?;
    let status = child.wait_timeout(LIMIT)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let mut text = String::new();
    said.rewind()?;
    std::io::Read::read_to_string(&mut said, &mut text)?;
    let status = status.ok_or_else(|| format!("{}: it still runs\n{text}", words.join(" ")))?;
    Ok((status.success(), text))
}

fn openssl_versions(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "once", false)?;
    for version in ["-tls1_2", "-tls1_3"] {
        rig.is_alive(&[version])?;
        let (well, said) = rig.s_client(&[version, "-brief", "-ign_eof"], "a line\n")?;
        let name = version.replace("-tls1_", "TLSv1.");
        assert!(well && said.contains(&name) && said.contains("Verification: OK"), "{said}");
    }
    // What rustls does not speak.
    for old in ["-tls1", "-tls1_1"] {
        let old = [old, "-cipher", "ALL:@SECLEVEL=0"];
        let (well, said) = rig.s_client(&old, "a line\n")?;
        assert!(!well && said.contains("alert"), "{said}");
    }
    rig.is_alive(&[])
}

fn openssl_failures(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "once", false)?;
    let (well, said) = rig.s_client(&["-verify_hostname", "elsewhere.example"], "a line\n")?;
    assert!(!well && said.contains("hostname mismatch"), "{said}");
    rig.is_alive(&["-verify_hostname", NAME])?;
    let (well, said) = rig.s_client(&["-tls1_2", "-cipher", "AES128-SHA"], "a line\n")?;
    assert!(!well && said.contains("handshake failure"), "{said}");
    rig.is_alive(&[])
}

fn openssl_certificates(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "once", true)?;
    let stranger = Authority::new("strangers")?;
    for (authority, name) in [(&rig.clients, "own"), (&stranger, "foreign")] {
        let (certificate, key) = authority.files("client")?;
        fs::write(rig.path(&format!("{name}.pem")), certificate + &key)?;
    }
    let (own, foreign) = (rig.path("own.pem"), rig.path("foreign.pem"));
    for version in ["-tls1_2", "-tls1_3"] {
        rig.is_alive(&[version, "-cert", &own, "-key", &own])?;
        for options in [&[version][..], &[version, "-cert", &foreign, "-key", &foreign]] {
            let (_, said) = rig.s_client(&[&["-ign_eof"], options].concat(), "a line\n")?;
            assert!(said.contains("alert"), "{said}");
            assert!(!said.contains("\na line\n"), "{said}");
        }
    }
    rig.is_alive(&["-cert", &own, "-key", &own])
}

fn openssl_renegotiates(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "once", false)?;
    // A line that begins with an R is a command to it.
    let (_, said) = rig.s_client(&["-tls1_2"], "R\n")?;
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
    rig.is_alive(&[])
}

fn gnutls(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "once", false)?;
    for version in ["1.2", "1.3"] {
        let priority = format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}");
        let authority = format!("--x509cafile={}", rig.path("ca.pem"));
        let words = ["gnutls-cli", &priority, &authority, "-p", rig.port(), NAME];
        let (well, said) = say(&words, "a line\n")?;
        assert!(well && said.contains("a line") && said.contains("is trusted"), "{said}");
        assert!(said.contains(&format!("(TLS{version}-")), "{said}");
    }
    Ok(())
}

fn curl(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "files", false)?;
    let url = format!("https://{NAME}:{}/page", rig.port());
    let (authority, out) = (rig.path("ca.pem"), rig.path("got"));
    for version in ["1.2", "1.3"] {
        let (least, most) = (format!("--tlsv{version}"), ["--tls-max", version]);
        let words = ["curl", "-sS", "--fail", "--cacert", &authority, &least, most[0], most[1]];
        tool::run(&[&words[..], &["-o", &out, &url]].concat())?;
        assert_eq!(fs::metadata(&out)?.len(), 100_000);
    }
    // Whoever does not know the authority leaves.
    assert!(tool::run(&["curl", "-sS", "-o", &out, &url]).is_err());
    // What is not HTTPS.
    assert!(tool::run(&["curl", "-sS", "-o", &out, &url.replace("https", "http")]).is_err());
    tool::run(&["curl", "-sS", "--fail", "--cacert", &authority, "-o", &out, &url]).map(drop)
}

fn h2load(strategy: &'static str) -> Tested {
    let rig = Rig::start(strategy, "files", false)?;
    let url = format!("https://{NAME}:{}/page", rig.port());
    let clients = if strategy == "sync" { "1" } else { "10" };
    let said = tool::run(&["h2load", "--h1", "-n", "200", "-c", clients, &url])?;
    let wanted = "200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(said.contains(wanted), "{said}");
    Ok(())
}
