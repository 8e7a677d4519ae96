//! Postgres as Debian packs it, started by hand: on a free port, in a folder of its own, by a user without rights, with
//! everything on that makes commits durable. It ends with the thread that started it, whatever ends that.

use l402_lightning::Secret;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, mpsc},
    time::Duration,
};
use tempfile::TempDir;

/// Written where it could be told by mistake, and looked for there.
pub(crate) const PASSWORD: &str = "open-sesame-4711";
pub(crate) const USER: &str = "gatekeeper";

/// How long a server may take to start, to stop or to recover.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

/// One server for all tests that do no harm to it; each uses schemas of its own.
pub(crate) fn shared() -> &'static Server {
    static SHARED: LazyLock<Server> = LazyLock::new(|| {
        let (started, server) = mpsc::channel();
        // A server ends with the thread that started it. This one lasts as long as the process.
        std::thread::spawn(move || {
            started.send(Server::start(&[])).expect("somebody waits");
            loop {
                std::thread::park();
            }
        });
        server.recv().expect("a server")
    });
    &SHARED
}

/// The URL of a database of whatever listens on this port.
pub(crate) fn url_by(port: u16, database: &str) -> Secret {
    Secret::from_text(format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}"))
}

impl Server {
    /// A new cluster, running. `options` are settings, as `name=value`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("a file");
        give(folder.path());
        give(&password);
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { folder, port: 0, options, process: None };
        let mut initdb = command("initdb");
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", USER]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(server.data());
        let made = initdb.stdout(Stdio::null()).output().expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for _ in 0..5 {
            server.port = free_port();
            if server.run() {
                return server;
            }
        }
        panic!("PostgreSQL does not start:\n{}", server.log());
    }

    /// Runs the cluster on its port. `false`: it has ended again.
    pub(crate) fn run(&mut self) -> bool {
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(self.data());
        let fixed = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.folder.path().display()),
            "fsync=on".to_owned(),
            "full_page_writes=on".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=64MB".to_owned(),
        ];
        for option in fixed.iter().chain(&self.options) {
            postgres.arg("-c").arg(option);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log");
        let errors = log.try_clone().expect("a log");
        let process = postgres.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.process = Some(process.expect("postgres"));
        self.wait_until_ready()
    }

    /// One more setting, from the next start on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.options.push(format!("{name}={value}"));
    }

    /// Stops it as if the machine had lost its power: no checkpoint, no farewell. What was not synced is not used.
    pub(crate) fn stop_immediately(&mut self) {
        self.stop("immediate");
    }

    pub(crate) fn stop_in_order(&mut self) {
        self.stop("fast");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn url(&self) -> Secret {
        url_by(self.port, "postgres")
    }

    /// The URL for connections that the server is to know by this name.
    pub(crate) fn url_as(&self, name: &str) -> Secret {
        let port = self.port;
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres?application_name={name}");
        Secret::from_text(url)
    }

    /// Runs statements as the owner, and gives what they say, one row a line.
    pub(crate) fn sql(&self, statements: &str) -> String {
        let mut psql = Command::new(binary("psql"));
        psql.env("PGPASSWORD", PASSWORD).args(["-h", "127.0.0.1", "-U", USER, "-d", "postgres", "-p"]);
        psql.arg(self.port.to_string()).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        let said = psql.output().expect("psql");
        assert!(said.status.success(), "{statements}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("text").trim_end().to_owned()
    }

    /// Everything the server has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Makes a file that belongs to the server and that only it can read.
    pub(crate) fn own_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        give(&path);
        path
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn stop(&mut self, how: &str) {
        let Some(mut process) = self.process.take() else { return };
        let mut ctl = command("pg_ctl");
        ctl.args(["stop", "-m", how, "-w", "-t", &PATIENCE.as_secs().to_string(), "-D"]).arg(self.data());
        let told = ctl.output().expect("pg_ctl");
        if !told.status.success() {
            let _ = process.kill(); // has ended by itself, or does not want to
        }
        process.wait().expect("an end");
    }

    fn wait_until_ready(&mut self) -> bool {
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            let mut ready = Command::new(binary("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ready.status().expect("pg_isready").success() {
                return true;
            }
            let process = self.process.as_mut().expect("a process");
            if process.try_wait().expect("its state").is_some() {
                self.process = None;
                return false;
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        panic!("PostgreSQL is not ready:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("immediate");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A program of the server, run by somebody without rights where we have them: it refuses root.
fn command(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    // It is told to stop at once when the thread that started it ends.
    command.args(["--pdeathsig", "QUIT", "--"]).arg(binary(name));
    command.env("LC_ALL", "C").current_dir("/");
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").expect("this process").uid() == 0
}

/// Where Debian puts it; the newest version that is there.
fn binary(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().expect("PostgreSQL has to be installed; stores/postgres/run does that")
}

/// To the server's user, where it is another one.
fn give(path: &Path) {
    if !is_root() {
        return;
    }
    let id = |flag| {
        let said = Command::new("id").args([flag, "postgres"]).output().expect("id");
        String::from_utf8_lossy(&said.stdout).trim().parse::<u32>().expect("the user postgres")
    };
    chown(path, Some(id("-u")), Some(id("-g"))).expect("a new owner");
}
