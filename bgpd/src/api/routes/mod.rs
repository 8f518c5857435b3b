//! Service `Routes`. Everything it reads, it asks of the RIB thread in slices
//! of well under a millisecond.

mod batch;
mod explain;
mod filter;
mod kernel;
mod page;
mod watch;

use godwit_proto::v1;
use godwit_rib::{PrefixFilter, RouteQuery, RouteView};
use ipnet::IpNet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::{Stop, error};
use crate::control::Control;
use crate::state::changes::NewRoute;
use batch::Batches;
use filter::Filter;

#[derive(Debug)]
pub struct Service {
    control: Control,
    stop: Stop,
}

impl Service {
    pub fn new(control: Control, stop: Stop) -> Service {
        Service { control, stop }
    }

    /// The prefix that a target means, with at least one path.
    async fn find(&self, target: &str) -> Result<IpNet, Status> {
        let none = || {
            let text = format!("no route to {target}");
            error::because(Code::NotFound, "NO_SUCH_ROUTE", text)
        };
        if target.contains('/') {
            let prefix = error::prefix("target", target)?;
            let found = self
                .first(PrefixFilter::Exact(prefix), RouteView::All)
                .await?;
            return found.ok_or_else(none);
        }
        let address = error::address("target", target)?;
        // What packets follow comes first; failing that, what was rejected.
        for view in [RouteView::Best, RouteView::All] {
            let longest = PrefixFilter::LongestMatch(address);
            if let Some(prefix) = self.first(longest, view).await? {
                return Ok(prefix);
            }
        }
        Err(none())
    }

    async fn first(&self, prefix: PrefixFilter, view: RouteView) -> Result<Option<IpNet>, Status> {
        let query = RouteQuery {
            view,
            family: None,
            prefix,
        };
        let rib = self.control.rib();
        let page = rib.query(move |rib| rib.routes(&query, None, 1)).await?;
        Ok(page.entries.first().map(|entry| entry.prefix))
    }
}

#[tonic::async_trait]
impl v1::routes_server::Routes for Service {
    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let request = request.into_inner();
        let message = request.filter.unwrap_or_default();
        let cursor = page::Cursor::parse(&request.cursor, &message)?;
        let filter = Filter::new(&message, &self.control)?;
        let limit = super::page_limit(request.limit);
        let (batches, next) = page::read(self.control.rib(), &filter, cursor, limit).await?;
        Ok(Response::new(v1::ListRoutesResponse {
            batches,
            next_cursor: next.map(|c| c.bytes(&message)).unwrap_or_default(),
        }))
    }

    async fn lookup_route(
        &self,
        request: Request<v1::LookupRouteRequest>,
    ) -> Result<Response<v1::LookupRouteResponse>, Status> {
        let prefix = self.find(&request.get_ref().target).await?;
        let query = RouteQuery {
            view: RouteView::All,
            family: None,
            prefix: PrefixFilter::Exact(prefix),
        };
        let rib = self.control.rib();
        let slice = page::slice(rib, query, None, usize::MAX).await?;
        let mut batches = Batches::default();
        batches.add_each_alone(&slice);
        let mut batches = batches.finish();
        batches.sort_by_key(|batch| batch.paths.first().map(rank));
        Ok(Response::new(v1::LookupRouteResponse {
            prefix: prefix.to_string(),
            batches,
        }))
    }

    async fn explain_route(
        &self,
        request: Request<v1::ExplainRouteRequest>,
    ) -> Result<Response<v1::ExplainRouteResponse>, Status> {
        let target = &request.get_ref().target;
        let prefix = self.find(target).await?;
        let rib = self.control.rib();
        let story = rib.query(move |rib| explain::read(rib, prefix)).await?;
        let (mut story, next_hops) = story.ok_or_else(|| {
            let text = format!("no route to {target} any more");
            error::because(Code::NotFound, "NO_SUCH_ROUTE", text)
        })?;
        kernel::tell(&self.control, prefix, &next_hops, &mut story).await;
        Ok(Response::new(story))
    }

    async fn add_route(
        &self,
        request: Request<v1::AddRouteRequest>,
    ) -> Result<Response<v1::AddRouteResponse>, Status> {
        let control = self.control.on_behalf_of(super::uid(&request));
        let request = request.into_inner();
        let prefix = error::prefix("prefix", &request.prefix)?;
        let route =
            NewRoute::new(prefix, request).map_err(|(field, why)| error::bad_field(field, why))?;
        control.add_route(route).await?;
        Ok(Response::new(v1::AddRouteResponse {}))
    }

    async fn remove_route(
        &self,
        request: Request<v1::RemoveRouteRequest>,
    ) -> Result<Response<v1::RemoveRouteResponse>, Status> {
        let prefix = error::prefix("prefix", &request.get_ref().prefix)?;
        let control = self.control.on_behalf_of(super::uid(&request));
        control.remove_route(prefix).await?;
        Ok(Response::new(v1::RemoveRouteResponse {}))
    }

    type WatchRoutesStream = ReceiverStream<Result<v1::WatchRoutesResponse, Status>>;

    async fn watch_routes(
        &self,
        request: Request<v1::WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        let message = request.into_inner().filter.unwrap_or_default();
        if !matches!(message.view(), v1::View::Unspecified | v1::View::Best) {
            return Err(error::bad_field(
                "filter.view",
                "only the best routes can be watched",
            ));
        }
        let filter = Filter::new(&message, &self.control)?;
        let rib = self.control.rib().clone();
        Ok(Response::new(watch::start(rib, filter, self.stop.clone())))
    }
}

/// Best first, what else forwards, the others, what was rejected.
fn rank(path: &v1::Path) -> u8 {
    match path {
        p if p.best => 0,
        p if p.multipath => 1,
        p if p.rejected_by.is_empty() => 2,
        _ => 3,
    }
}
