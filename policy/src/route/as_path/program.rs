//! Patterns as nondeterministic automata, all of whose states are followed at
//! once (Thompson): no backtracking.

use smallvec::SmallVec;

use super::super::number::NumberSet;
use super::parse::{AsPathPatternError, Node};
use super::{Position, Positions};

/// States at most: with the longest path of one message, some ten million
/// steps.
const MAX_STATES: usize = 1024;

#[derive(Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
    /// Parts written out so far: repeating nothing makes no states.
    work: usize,
}

#[derive(Debug)]
enum Step {
    /// One position of the path, then the next step.
    Any,
    Class {
        negated: bool,
        numbers: NumberSet,
    },
    /// No position: both ways.
    Split(usize, usize),
    Jump(usize),
    Start,
    End,
    Found,
}

impl Program {
    pub fn compile(node: &Node) -> Result<Program, AsPathPatternError> {
        let mut program = Program {
            steps: Vec::new(),
            work: 0,
        };
        let fits = program.push(node);
        program.steps.push(Step::Found);
        match fits {
            Some(()) => Ok(program),
            None => Err(AsPathPatternError {
                at: 0..usize::MAX,
                what: "the pattern is too large once its repetitions are written out".into(),
                help: "repeat less, or write several into a `[policy.as-path-set]`",
            }),
        }
    }

    /// `None`: too many.
    fn push(&mut self, node: &Node) -> Option<()> {
        self.work += 1;
        if self.steps.len() >= MAX_STATES || self.work > 4 * MAX_STATES {
            return None;
        }
        match node {
            Node::Any => self.steps.push(Step::Any),
            Node::Class { negated, ranges } => self.steps.push(Step::Class {
                negated: *negated,
                numbers: Node::set(ranges),
            }),
            Node::Start => self.steps.push(Step::Start),
            Node::End => self.steps.push(Step::End),
            Node::Concat(items) => {
                for item in items {
                    self.push(item)?;
                }
            }
            Node::Either(branches) => {
                let mut ends = Vec::new();
                for (n, branch) in branches.iter().enumerate() {
                    let split = self.steps.len();
                    if n + 1 < branches.len() {
                        self.steps.push(Step::Split(split + 1, 0));
                    }
                    self.push(branch)?;
                    if n + 1 < branches.len() {
                        ends.push(self.steps.len());
                        self.steps.push(Step::Jump(0));
                        self.set(split, Step::Split(split + 1, self.steps.len()));
                    }
                }
                let end = self.steps.len();
                for jump in ends {
                    self.set(jump, Step::Jump(end));
                }
            }
            Node::Repeat { node, min, max } => {
                for _ in 0..*min {
                    self.push(node)?;
                }
                match max {
                    None => {
                        let split = self.steps.len();
                        self.steps.push(Step::Jump(0));
                        self.push(node)?;
                        self.steps.push(Step::Jump(split));
                        self.set(split, Step::Split(split + 1, self.steps.len()));
                    }
                    Some(max) => {
                        let mut splits = Vec::new();
                        for _ in *min..*max {
                            splits.push(self.steps.len());
                            self.steps.push(Step::Jump(0));
                            self.push(node)?;
                        }
                        let end = self.steps.len();
                        for split in splits {
                            self.set(split, Step::Split(split + 1, end));
                        }
                    }
                }
            }
        }
        Some(())
    }

    fn set(&mut self, at: usize, step: Step) {
        if let Some(slot) = self.steps.get_mut(at) {
            *slot = step;
        }
    }

    pub fn finds(&self, path: &Positions<'_>) -> bool {
        let mut now = States::new(self.steps.len());
        let mut next = States::new(self.steps.len());
        let length = path.0.len();
        for (at, position) in path.0.iter().enumerate() {
            // A match may begin anywhere.
            if self.follow(0, at, length, &mut now) {
                return true;
            }
            for i in 0..now.list.len() {
                let Some(&state) = now.list.get(i) else { break };
                if self.takes(state, position) && self.follow(state + 1, at + 1, length, &mut next)
                {
                    return true;
                }
            }
            now.clear();
            std::mem::swap(&mut now, &mut next);
        }
        self.follow(0, length, length, &mut now)
    }

    fn takes(&self, state: usize, position: &Position<'_>) -> bool {
        match self.steps.get(state) {
            Some(Step::Any) => true,
            Some(Step::Class { negated, numbers }) => {
                let inside = |asn: u32| numbers.contains(asn) != *negated;
                match position {
                    Position::One(asn) => inside(asn.0),
                    Position::AnyOf(set) => set.asns().any(|asn| inside(asn.0)),
                }
            }
            _ => false,
        }
    }

    /// Adds all that is reached without a position; whether that is the end.
    fn follow(&self, from: usize, at: usize, length: usize, states: &mut States) -> bool {
        states.stack.push(from);
        while let Some(state) = states.stack.pop() {
            match states.seen.get_mut(state) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            match self.steps.get(state) {
                Some(Step::Found) => return true,
                Some(Step::Split(a, b)) => states.stack.extend([*b, *a]),
                Some(Step::Jump(to)) => states.stack.push(*to),
                Some(Step::Start) if at == 0 => states.stack.push(state + 1),
                Some(Step::End) if at == length => states.stack.push(state + 1),
                Some(Step::Any | Step::Class { .. }) => states.list.push(state),
                _ => {}
            }
        }
        false
    }
}

/// Those that wait for the next position.
struct States {
    list: SmallVec<[usize; 16]>,
    seen: SmallVec<[bool; 64]>,
    stack: SmallVec<[usize; 16]>,
}

impl States {
    fn new(count: usize) -> States {
        States {
            list: SmallVec::new(),
            seen: SmallVec::from_elem(false, count),
            stack: SmallVec::new(),
        }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(false);
    }
}
