//! Puts changes into frames, and frames into runs.

use bytes::BytesMut;
use godwit_bgp::wire::UpdateEncoder;

use super::output::Output;
use super::queue::{Audience, Bucket, Item, PathMark, encode};
use super::runs::{Run, Runs};
use crate::core::Core;
use crate::ring::Mark;

/// Bytes of frames in one run, about.
const RUN: usize = 64 << 10;

/// A group while it encodes what waits.
pub struct Press<'a> {
    pub encoder: &'a mut UpdateEncoder,
    pub output: &'a mut [Output; 2],
    pub runs: &'a mut Runs,
    pub buffer: &'a mut BytesMut,
    pub readers: u32,
    /// Of the last run of any group.
    pub seq: &'a mut u64,
    /// Of the run under way, and what is in it.
    pub audience: Audience,
    pub marks: Vec<Mark>,
    pub gone: Vec<PathMark>,
}

impl Press<'_> {
    pub fn print<T: Item>(&mut self, bucket: Bucket, items: &[T], core: &Core) {
        if bucket.audience != self.audience || self.buffer.len() >= RUN {
            self.cut();
            self.audience = bucket.audience;
        }
        let output = &mut self.output[bucket.family.index()];
        for item in items {
            output.settle(item.mark().dest(), item.path());
        }
        let Core { tables, attrs, .. } = core;
        encode(self.encoder, bucket, items, tables, attrs, self.buffer);
        self.marks.extend(items.iter().map(|item| item.mark()));
    }

    /// Ends the run under way.
    pub fn cut(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        *self.seq += 1;
        let bytes = self.buffer.split().freeze();
        let mut run = Run::new(bytes, self.audience, *self.seq);
        run.marks = std::mem::take(&mut self.marks).into_boxed_slice();
        run.gone = std::mem::take(&mut self.gone).into_boxed_slice();
        self.runs.push(run, self.readers);
    }
}
