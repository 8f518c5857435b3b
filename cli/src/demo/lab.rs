//! The plan built: namespaces, cables, daemons. Dropping it removes it.

use std::fs::{self, DirBuilder, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use godwit_netlink::{
    Error, RequestSocket, RouteHop, RouteKey, RouteTarget, TABLE_MAIN, VethEnd, netns, sysctl,
};
use ipnet::IpNet;

use super::plan::{Cable, Node, Plan, Pod};
use crate::failure::Failure;

const PREFIX: &str = "godwit-demo";
/// What each pod takes for its gateway, as Calico has it.
const GATEWAY_IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// `RTPROT_STATIC`.
const STATIC: u8 = 4;

#[derive(Debug)]
pub struct Lab {
    pub dir: PathBuf,
    namespaces: Vec<String>,
    daemons: Vec<(String, Child)>,
}

/// Why the demo cannot run here, if it cannot.
pub fn check_machine() -> Result<(), Failure> {
    if !netns::is_root() {
        return Err(Failure::Refused(
            "the demo makes network namespaces; run it as root".into(),
        ));
    }
    let missing = [
        ("ping", "iputils-ping"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
    ]
    .into_iter()
    .find(|(program, _)| !on_path(program));
    match missing {
        Some((program, package)) => Err(Failure::Refused(format!(
            "{program} is not installed: apt-get install {package}"
        ))),
        None => godwitd().map(|_| ()),
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}

/// The daemon that was built or installed with this program.
fn godwitd() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("godwitd");
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::Refused(format!(
        "there is no {}; build it with `cargo build --release -p godwit-bgpd`",
        path.display()
    )))
}

fn prefix() -> String {
    format!("{PREFIX}-{}", std::process::id())
}

/// Name of a node's or pod's namespace.
pub fn namespace(name: &str) -> String {
    format!("{}-{name}", prefix())
}

/// A command inside a namespace that dies with this program.
pub fn command_in(name: &str, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{}", namespace(name)))
        .args(["setpriv", "--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null())
        // Out of reach of the terminal's Ctrl-C: we end it.
        .process_group(0);
    command
}

impl Lab {
    /// An empty one; what runs that were killed left behind is removed.
    pub fn new() -> Result<Lab, Failure> {
        for name in netns::list()? {
            let owner = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('-').nth(1)?.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                netns::delete(&name)?;
            }
        }
        let dir = std::env::temp_dir().join(prefix());
        DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Lab {
            dir,
            namespaces: Vec::new(),
            daemons: Vec::new(),
        })
    }

    pub fn build(&mut self, plan: &Plan) -> Result<(), Failure> {
        for name in plan.nodes.iter().map(|n| &n.name) {
            self.add_namespace(name)?;
        }
        for pod in &plan.pods {
            self.add_namespace(&pod.name)?;
        }
        for cable in &plan.cables {
            lay(cable)?;
        }
        for pod in &plan.pods {
            attach(pod)?;
        }
        Ok(())
    }

    fn add_namespace(&mut self, name: &str) -> Result<(), Failure> {
        let namespace = namespace(name);
        netns::create(&namespace)?;
        self.namespaces.push(namespace.clone());
        netns::run_in(&namespace, || {
            for (name, value) in [
                ("net.ipv4.ip_forward", "1"),
                ("net.ipv4.fib_multipath_hash_policy", "1"),
                ("net.ipv4.conf.all.rp_filter", "0"),
                ("net.ipv4.conf.default.rp_filter", "0"),
                ("net.ipv6.conf.all.forwarding", "1"),
                ("net.ipv6.fib_multipath_hash_policy", "1"),
                ("net.ipv6.conf.default.accept_dad", "0"),
                // A cut cable is put back; its IPv6 addresses must still be there.
                ("net.ipv6.conf.all.keep_addr_on_down", "1"),
                ("net.ipv6.conf.default.keep_addr_on_down", "1"),
            ] {
                sysctl::write(name, value)?;
            }
            let mut socket = RequestSocket::open()?;
            let lo = socket.link_index("lo")?;
            socket.set_link_up(lo, true)
        })??;
        Ok(())
    }

    /// Writes a node's configuration and starts its daemon.
    pub fn start_daemon(&mut self, node: &Node, reflector: bool) -> Result<(), Failure> {
        let config = self.dir.join(format!("{}.toml", node.name));
        let socket = socket(&self.dir, &node.name);
        fs::write(&config, node.configuration(reflector, &socket))?;
        // Each daemon one of its own, which it keeps others out of.
        let state = self.dir.join(format!("{}.state", node.name));
        fs::create_dir(&state)?;
        let log = File::create(self.dir.join(format!("{}.log", node.name)))?;
        let child = command_in(&node.name, &godwitd()?)
            .arg("-c")
            .arg(&config)
            .arg("--state-dir")
            .arg(&state)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.daemons.push((node.name.clone(), child));
        Ok(())
    }

    /// An error with the last words of the first daemon that has ended.
    pub fn check_daemons(&mut self) -> Result<(), Failure> {
        for (name, child) in &mut self.daemons {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.dir.join(format!("{name}.log")))?;
                let last: Vec<&str> = log.lines().rev().take(10).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                return Err(Failure::Refused(format!(
                    "the daemon of {name} ended ({status}):\n{}",
                    last.join("\n")
                )));
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Nothing more can be done about what fails here.
        for (_, child) in &mut self.daemons {
            let _ = child.kill();
            let _ = child.wait();
        }
        for namespace in &self.namespaces {
            if let Err(e) = netns::delete(namespace) {
                eprintln!("godwit: {e}");
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where a node's daemon listens.
pub fn socket(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.sock"))
}

fn lay(cable: &Cable) -> Result<(), Failure> {
    let [a, b] = &cable.ends;
    add_veth((&a.node, &b.node), (&b.node, &a.node))?;
    for (end, other) in [(a, b), (b, a)] {
        configure(&end.node, &other.node, &end.addresses, &[])?;
    }
    Ok(())
}

fn attach(pod: &Pod) -> Result<(), Failure> {
    add_veth((&pod.host, "pod"), (&pod.name, "eth0"))?;
    let own = pod.addresses.map(IpNet::from);
    let gateways: [IpAddr; 2] = [GATEWAY_IPV4.into(), GATEWAY_IPV6.into()];
    let far = [
        IpNet::from(gateways[0]),
        IpNet::new(gateways[1], 64).expect("a length of its family"),
    ];
    let routes = own.map(|prefix| (prefix, None));
    configure(&pod.host, "pod", &far, &routes)?;
    let default = ["0.0.0.0/0", "::/0"].map(|text| text.parse().expect("a prefix"));
    let routes = [
        (default[0], Some(gateways[0])),
        (default[1], Some(gateways[1])),
    ];
    configure(&pod.name, "eth0", &own, &routes)
}

/// Each end: node, and its interface.
fn add_veth(a: (&str, &str), b: (&str, &str)) -> Result<(), Failure> {
    let spaces = [netns::open(&namespace(a.0))?, netns::open(&namespace(b.0))?];
    let end = |name, space| VethEnd {
        name,
        namespace: Some(space),
        mtu: None,
    };
    RequestSocket::open()?.add_veth(end(a.1, spaces[0].as_fd()), end(b.1, spaces[1].as_fd()))?;
    Ok(())
}

/// Addresses, link state and routes (by a gateway, or on the link itself).
fn configure(
    node: &str,
    interface: &str,
    addresses: &[IpNet],
    routes: &[(IpNet, Option<IpAddr>)],
) -> Result<(), Failure> {
    netns::run_in(&namespace(node), || -> Result<(), Error> {
        let mut socket = RequestSocket::open()?;
        let index = socket.link_index(interface)?;
        for address in addresses {
            socket.add_address(index, *address)?;
        }
        socket.set_link_up(index, true)?;
        for (prefix, via) in routes {
            let key = RouteKey {
                prefix: *prefix,
                table: TABLE_MAIN,
                metric: 100,
                protocol: STATIC,
            };
            let hop = RouteHop {
                via: *via,
                interface: index,
                weight: 1,
                on_link: via.is_some(),
            };
            socket.add_route(&key, RouteTarget::Hops(&[hop]))?;
        }
        Ok(())
    })??;
    Ok(())
}

/// Plugs or pulls a cable, at one end; the other sees its carrier change.
pub fn plug(node: &str, interface: &str, plugged: bool) -> Result<(), Failure> {
    netns::run_in(&namespace(node), || {
        let mut socket = RequestSocket::open()?;
        let index = socket.link_index(interface)?;
        socket.set_link_up(index, plugged)
    })??;
    Ok(())
}
