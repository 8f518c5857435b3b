use std::net::Ipv4Addr;
use std::time::Duration;

use godwit_bgp::wire::{DecodeContext, decode_update};
use tokio::time::timeout;

use super::*;

fn port() -> Port {
    Port::new(Ipv4Addr::new(10, 0, 0, 1).into())
}

/// A batch that counts for `bytes`.
fn batch(bytes: usize) -> Batch {
    let context = DecodeContext {
        as4: true,
        external: true,
        families: [true; 2],
        extended_next_hop: false,
        add_path: [false; 2],
    };
    let end_of_rib = Bytes::from_static(&[0, 0, 0, 0]);
    Batch {
        items: vec![Item::Update(decode_update(end_of_rib, context).unwrap())],
        bytes,
    }
}

async fn woken(port: &Port) -> bool {
    timeout(Duration::from_millis(1), port.changed())
        .await
        .is_ok()
}

#[test]
fn a_port_enters_the_round_once_however_much_is_pushed() {
    let port = port();
    assert!(port.push(batch(1)));
    assert!(!port.push(batch(1)));
    assert!(port.pop().is_some());
    assert!(port.pop().is_some());
    assert!(port.pop().is_none());
    assert!(port.push(batch(1)));
}

#[test]
fn an_empty_batch_wakes_nobody() {
    let port = port();
    assert!(!port.push(Batch::default()));
    assert!(port.pop().is_none());
}

#[tokio::test]
async fn reading_stops_at_the_limit_and_goes_on_at_half_of_it() {
    let port = port();
    port.push(batch(INPUT_LIMIT - 1));
    assert!(port.has_room());
    port.push(batch(1));
    assert!(!port.has_room());
    port.release(INPUT_LIMIT / 2);
    assert!(!port.has_room(), "half is not below half");
    assert!(!woken(&port).await);
    port.release(1);
    assert!(woken(&port).await);
    assert!(port.has_room());
}

#[test]
fn what_is_worked_on_still_counts() {
    let port = port();
    port.push(batch(INPUT_LIMIT));
    assert!(port.pop().is_some());
    assert!(!port.has_room());
}

#[test]
fn a_closed_port_forgets_and_takes_nothing() {
    let port = port();
    port.push(batch(5));
    port.close();
    assert!(port.pop().is_none());
    assert!(!port.push(batch(5)));
    assert_eq!(port.input_bytes(), 0);
}

fn frames(sizes: &[usize]) -> Vec<Bytes> {
    sizes.iter().map(|n| Bytes::from(vec![0; *n])).collect()
}

#[tokio::test]
async fn frames_are_taken_whole_up_to_the_amount_asked_for() {
    let port = port();
    assert!(!port.put_frames(&mut frames(&[10, 20, 30]), false));
    assert!(woken(&port).await);
    let mut taken = VecDeque::new();
    assert_eq!(port.take_frames(11, &mut taken), (30, false));
    assert_eq!(port.take_frames(100, &mut taken), (30, false));
    assert_eq!(taken.len(), 3);
    assert_eq!(port.output_room(), OUTPUT_LIMIT);
}

#[test]
fn more_is_asked_for_once_when_the_output_runs_low() {
    let port = port();
    port.put_frames(
        &mut frames(&[OUTPUT_LIMIT / 2, OUTPUT_LIMIT / 2 - 1, 1]),
        true,
    );
    assert_eq!(port.output_room(), 0);
    let mut taken = VecDeque::new();
    assert_eq!(port.take_frames(1, &mut taken), (OUTPUT_LIMIT / 2, false));
    let (_, refill) = port.take_frames(1, &mut taken);
    assert!(refill);
    assert_eq!(port.take_frames(1, &mut taken), (1, false));
}

/// The peer emptied the queue between the RIB's look at its room and this: it
/// would never ask.
#[test]
fn the_rib_serves_again_where_the_output_is_low_already() {
    let port = port();
    assert!(port.put_frames(&mut frames(&[1]), true));
    assert!(!port.put_frames(&mut frames(&[OUTPUT_LIMIT]), true));
}

#[test]
fn requests_for_a_refresh_are_one_a_family_until_it_begins() {
    let port = port();
    let [ipv4, ipv6] = Family::ALL;
    assert!(port.ask_refresh(ipv4));
    assert!(!port.ask_refresh(ipv4), "it waits already");
    assert!(port.ask_refresh(ipv6));
    port.take_refresh(ipv4);
    assert!(port.ask_refresh(ipv4), "what follows the answer counts");
    assert!(!port.ask_refresh(ipv6));
}
