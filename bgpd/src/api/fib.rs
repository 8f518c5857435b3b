//! Service `Fib`. The fib thread answers on a channel that blocks, so each
//! question has a blocking thread of its own.

use godwit_bgp::Family;
use godwit_fib::{
    CheckReport, FibHandle, KernelRoute, ResolvedHop, RouteInfo, RouteState, Stopped,
};
use godwit_proto::v1;
use godwit_proto::v1::fib_difference::Kind as Difference;
use godwit_proto::v1::fib_route::Kind;
use tonic::{Request, Response, Status};

use super::error;
use crate::control::Control;

/// Routes of a question to the fib thread.
const SLICE: usize = 1000;
/// Questions a page: a filter that nothing passes must come to an end.
const SLICES: usize = 16;

#[derive(Debug)]
pub struct Service {
    control: Control,
}

impl Service {
    pub fn new(control: Control) -> Service {
        Service { control }
    }

    fn fib(&self) -> Result<FibHandle, Status> {
        if !self.control.started().fib.enabled {
            return Err(error::fib_off());
        }
        self.control.fib().cloned().ok_or_else(error::fib_off)
    }
}

#[tonic::async_trait]
impl v1::fib_server::Fib for Service {
    async fn list_fib(
        &self,
        request: Request<v1::ListFibRequest>,
    ) -> Result<Response<v1::ListFibResponse>, Status> {
        let request = request.into_inner();
        let fib = self.fib()?;
        let family = request.family().known();
        let limit = super::page_limit(request.limit);
        let mut after = cursor(&request.cursor)?;
        let mut response = v1::ListFibResponse::default();
        for _ in 0..SLICES {
            let room = (limit - response.routes.len()).min(SLICE);
            let fib = fib.clone();
            let page = ask(move || fib.routes(after, room)).await?;
            let wanted = page.routes.iter().filter(|route| {
                family.is_none_or(|f| f == Family::of(&route.prefix.addr()))
                    && !(request.not_installed && route.state == RouteState::Installed)
            });
            response.routes.extend(wanted.map(message));
            match page.next {
                None => return Ok(Response::new(response)),
                Some(next) => after = next,
            }
            if response.routes.len() >= limit {
                break;
            }
        }
        response.next_cursor = after.to_be_bytes().to_vec();
        Ok(Response::new(response))
    }

    async fn check_fib(
        &self,
        _: Request<v1::CheckFibRequest>,
    ) -> Result<Response<v1::CheckFibResponse>, Status> {
        let fib = self.fib()?;
        let report = ask(move || fib.check()).await?;
        Ok(Response::new(check(&report)))
    }
}

/// Asks the fib thread without holding up the runtime.
pub async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(question)
        .await
        .map_err(|e| Status::internal(format!("a question to the fib failed: {e}")))?
        .map_err(error::fib_stopped)
}

fn cursor(bytes: &[u8]) -> Result<u64, Status> {
    match bytes {
        [] => Ok(0),
        bytes => bytes
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| error::bad_field("cursor", "is not one of ours")),
    }
}

pub fn message(route: &RouteInfo) -> v1::FibRoute {
    let (state, error) = match route.state {
        RouteState::Installed => (v1::FibState::Installed, String::new()),
        RouteState::Pending => (v1::FibState::Pending, String::new()),
        RouteState::Adopted => (v1::FibState::Adopted, String::new()),
        RouteState::Connected => (v1::FibState::Connected, String::new()),
        RouteState::Foreign => (v1::FibState::Foreign, String::new()),
        RouteState::Unreachable => (v1::FibState::Unreachable, String::new()),
        RouteState::Refused(_) => (v1::FibState::Refused, route.state.to_string()),
    };
    let kind = match route.blackhole {
        true => Kind::Blackhole,
        false => Kind::Hops,
    };
    v1::FibRoute {
        prefix: route.prefix.to_string(),
        kind: kind as i32,
        next_hops: route.next_hops.iter().map(|h| (*h).into()).collect(),
        resolved: route.resolved.iter().map(hop).collect(),
        state: state as i32,
        error,
        table: route.table,
        metric: route.metric,
        preferred_source: route.source.map(|a| a.to_string()).unwrap_or_default(),
    }
}

pub fn hop(hop: &ResolvedHop) -> v1::FibHop {
    v1::FibHop {
        via: hop.via.to_string(),
        interface: hop.interface.clone(),
        weight: hop.weight.into(),
    }
}

fn check(report: &CheckReport) -> v1::CheckFibResponse {
    let list = |routes: &[KernelRoute], kind: Difference| -> Vec<v1::FibDifference> {
        let difference = |route: &KernelRoute| v1::FibDifference {
            prefix: route.prefix.to_string(),
            table: route.table,
            metric: route.metric,
            kind: kind as i32,
        };
        routes.iter().map(difference).collect()
    };
    let mut differences = list(&report.missing, Difference::Missing);
    differences.extend(list(&report.extra, Difference::Unexpected));
    differences.extend(list(&report.different, Difference::Different));
    v1::CheckFibResponse {
        wanted: report.wanted as u64,
        found: report.in_kernel as u64,
        differences,
        difference_count: (report.missing_count + report.extra_count + report.different_count)
            as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_lists_every_kind_of_difference() {
        let route = |prefix: &str| KernelRoute {
            prefix: prefix.parse().unwrap(),
            table: 254,
            metric: 10_103,
        };
        let report = CheckReport {
            wanted: 3,
            in_kernel: 3,
            missing: vec![route("10.1.0.0/16")],
            missing_count: 1,
            extra: vec![route("10.2.0.0/16")],
            extra_count: 1,
            different: vec![route("10.3.0.0/16")],
            different_count: 1,
        };
        let told = check(&report);
        let kinds: Vec<Difference> = told.differences.iter().map(|d| d.kind()).collect();
        assert_eq!(
            kinds,
            [
                Difference::Missing,
                Difference::Unexpected,
                Difference::Different
            ]
        );
        assert_eq!(told.difference_count, 3);
        let first = &told.differences[0];
        assert_eq!((first.table, first.metric), (254, 10_103));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        assert_eq!(cursor(&[]).unwrap(), 0);
        assert_eq!(cursor(&7u64.to_be_bytes()).unwrap(), 7);
        assert!(cursor(&[1, 2]).is_err());
    }
}
