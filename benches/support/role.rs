//! Which server a process is, and what is done to it.

use std::env;
use std::fmt;
use std::process::Command;
use std::str::FromStr;

use super::Fallible;

const ROLE: &str = "SOCKETSERVER_BENCH_ROLE";

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word,)* })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("{word} is no {}", stringify!($name))),
                }
            }
        }
    };
}

words! {
    /// Whose server it is.
    Who {
        Ours = "ours",
        Twin = "twin",
        Nobody = "nobody",
    }
}

words! {
    Transport {
        Tcp = "tcp",
        Udp = "udp",
        UnixStream = "unix",
        UnixDatagram = "unixgram",
    }
}

words! {
    Strategy {
        Sync = "sync",
        Threading = "threading",
        /// `Threading` with fresh threads.
        Fresh = "fresh",
        ThreadPool = "thread-pool",
        Forking = "forking",
        /// Of `Sync`.
        PreForking = "pre-forking",
        /// Of `Sync`.
        Selecting = "selecting",
        /// Of `ThreadPool`; by hand it is one thread.
        SelectingPool = "selecting+pool",
    }
}

words! {
    /// What is done to the server.
    Load {
        Paced = "paced",
        PingPong = "ping-pong",
        Waiting = "waiting",
        Clients = "clients",
        Kept = "kept",
    }
}

impl Transport {
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::UnixStream)
    }
}

impl Strategy {
    /// Whether requests are taken by other processes than the one that is looked at, where they can't
    /// be counted one by one.
    pub fn serves_elsewhere(self) -> bool {
        self == Self::PreForking
    }

    /// Whether connections wait in a table.
    pub fn selects(self) -> bool {
        matches!(self, Self::Selecting | Self::SelectingPool)
    }

    /// Whether there are both, ours and by hand.
    pub fn serves(self, transport: Transport) -> bool {
        transport.is_stream() || !(self.selects() || self.serves_elsewhere())
    }

    /// Whether each request has a thread or process that is started for it.
    pub fn starts_workers(self) -> bool {
        matches!(self, Self::Fresh | Self::Forking)
    }

    /// Whether the thread that takes a request also ends it. Who takes one is chance, and so is how
    /// many calls that needs.
    pub fn is_crew(self) -> bool {
        matches!(self, Self::Threading | Self::ThreadPool | Self::SelectingPool)
    }
}

/// One server, to be measured in a process of its own.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    pub who: Who,
    pub transport: Transport,
    pub strategy: Strategy,
    pub load: Load,
    /// How many requests there are, where the load does not decide it; where clients do, how many
    /// megabytes the server's process has in use beside what it needs.
    pub count: u32,
}

impl Role {
    /// The role of this process, where it has one.
    pub fn of_this_process() -> Fallible<Option<Self>> {
        let Ok(words) = env::var(ROLE) else { return Ok(None) };
        let words: Vec<&str> = words.split(' ').collect();
        let [who, transport, strategy, load, count] = words[..] else {
            return Err(format!("{ROLE} has {} words", words.len()).into());
        };
        Ok(Some(Self {
            who: who.parse()?,
            transport: transport.parse()?,
            strategy: strategy.parse()?,
            load: load.parse()?,
            count: count.parse()?,
        }))
    }

    /// This program in this role, run by `runner` where there is one (a tracer and its arguments).
    pub fn command(self, runner: &[&str]) -> Fallible<Command> {
        let program = env::current_exe()?;
        let mut command = match runner.split_first() {
            None => Command::new(program),
            Some((tracer, arguments)) => {
                let mut command = Command::new(tracer);
                command.args(arguments).arg(program);
                command
            }
        };
        command.env(ROLE, self.to_string());
        Ok(command)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, transport, strategy, load, count } = self;
        write!(f, "{who} {transport} {strategy} {load} {count}")
    }
}
