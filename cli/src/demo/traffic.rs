//! Pings between pods: whether all reach each other, and how many are lost
//! while something happens.

use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::lab;
use super::plan::Plan;

/// Between two pings of one stream, in milliseconds.
pub const INTERVAL_MS: u64 = 20;

/// Pings on their way; those that are dropped are ended.
#[derive(Debug)]
pub struct Pings {
    running: Vec<Child>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub sent: u64,
    pub received: u64,
}

impl Pings {
    /// One ping from each pod to each other, of one family.
    pub fn once(plan: &Plan, family: usize) -> io::Result<Pings> {
        Pings::start(plan, &[family], |ping| {
            ping.args(["-c", "1", "-W", "1"]);
        })
    }

    /// A stream of them from each pod to each other, of both families, that
    /// ends by itself after `seconds`.
    pub fn stream(plan: &Plan, seconds: u64) -> io::Result<Pings> {
        let interval = format!("0.{INTERVAL_MS:03}");
        Pings::start(plan, &[0, 1], |ping| {
            ping.args(["-i", &interval, "-w", &seconds.to_string()]);
        })
    }

    fn start(plan: &Plan, families: &[usize], options: impl Fn(&mut Command)) -> io::Result<Pings> {
        let mut pings = Pings {
            running: Vec::new(),
        };
        for from in &plan.pods {
            let others = plan.pods.iter().filter(|to| to.name != from.name);
            let targets = others.flat_map(|to| families.iter().map(|f| to.addresses[*f]));
            for target in targets {
                pings.running.push(ping(&from.name, target, &options)?);
            }
        }
        Ok(pings)
    }

    /// Waits for all to end.
    pub async fn finish(mut self) -> io::Result<Vec<Count>> {
        let mut counts = Vec::new();
        for child in &mut self.running {
            while child.try_wait()?.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let mut text = String::new();
            if let Some(mut stdout) = child.stdout.take() {
                stdout.read_to_string(&mut text)?;
            }
            counts.push(parse(&text));
        }
        Ok(counts)
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn ping(pod: &str, target: IpAddr, options: &impl Fn(&mut Command)) -> io::Result<Child> {
    let mut command = lab::command_in(pod, Path::new("ping"));
    command.args(["-n", "-q"]);
    options(&mut command);
    command
        .arg(target.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// "150 packets transmitted, 149 received, 0.667% packet loss, time 2998ms"
fn parse(text: &str) -> Count {
    let number = |mark: &str| {
        let before = text.split(mark).next()?;
        before.split_whitespace().next_back()?.parse().ok()
    };
    if !text.contains(" packets transmitted") {
        return Count::default();
    }
    Count {
        sent: number(" packets transmitted").unwrap_or(0),
        received: number(" received").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_ping_are_understood() {
        let text = "PING 10.244.12.2 (10.244.12.2) 56(84) bytes of data.\n\n\
                    --- 10.244.12.2 ping statistics ---\n\
                    150 packets transmitted, 149 received, +1 errors, 0.667% packet loss, time 2998ms\n";
        assert_eq!(
            parse(text),
            Count {
                sent: 150,
                received: 149
            }
        );
        assert_eq!(parse(""), Count::default());
    }
}
