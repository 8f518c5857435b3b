//! The program as it is run: it takes the name, and judges by the policy.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_proto::v1::route_policy_client::RoutePolicyClient;
use godwit_proto::v1::{TestPolicyRequest, TestRoute};

/// Ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(directory: &Path, policy: &str) -> Daemon {
    let config = directory.join("godwit.toml");
    let text = format!(
        "[router]\nasn = 64512\nrouter-id = '192.0.2.1'\nlisten = []\n\
         [fib]\nenabled = false\n[api]\nunix = '{}'\n\
         [[peer]]\naddress = '192.0.2.2'\nremote-as = 65001\npassive = true\n\
         import = ['{policy}', 'accept-all']\nexport = ['accept-all']\n",
        directory.join("godwit.sock").display()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_own-policy"))
        .arg("-c")
        .arg(config)
        .arg("--state-dir")
        .arg(directory)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Daemon(child)
}

#[tokio::test]
async fn the_daemon_judges_by_the_policy_that_is_compiled_in() {
    let directory = tempfile::tempdir().unwrap();
    let _daemon = start(directory.path(), "custom:short-paths");
    let address = format!("unix:{}", directory.path().join("godwit.sock").display());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut client = loop {
        match RoutePolicyClient::connect(address.clone()).await {
            Ok(client) => break client,
            Err(e) => assert!(Instant::now() < deadline, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut accepted = async |as_path: &str| {
        let request = TestPolicyRequest {
            prefix: "10.0.0.0/24".into(),
            peer: "192.0.2.2".into(),
            route: Some(TestRoute {
                as_path: as_path.into(),
                ..TestRoute::default()
            }),
            ..TestPolicyRequest::default()
        };
        let answer = client.test_policy(request).await.unwrap().into_inner();
        (answer.accepted, answer.decided_by)
    };
    assert_eq!(accepted("65001 2 3").await, (true, "accept-all".into()));
    let (accepted, by) = accepted("65001 2 3 4 5 6").await;
    assert_eq!((accepted, by.as_str()), (false, "far too long a path"));
}

#[test]
fn a_policy_that_is_not_compiled_in_is_an_error_that_names_those_that_are() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = start(directory.path(), "custom:shrot-paths");
    assert_eq!(daemon.0.wait().unwrap().code(), Some(2));
    let mut said = String::new();
    let mut stderr = daemon.0.stderr.take().unwrap();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert!(
        said.contains("did you mean `custom:short-paths`?"),
        "{said}"
    );
}
