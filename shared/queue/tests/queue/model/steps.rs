//! What can happen, and how often.

use proptest::collection::vec;
use proptest::prelude::*;

/// The names runs go between. A worker knows some of them.
pub const TARGETS: [&str; 2] = ["a", "b"];
pub const SOURCES: [&str; 2] = ["s", "x"];
pub const KNOWN: [&[&str]; 3] = [&["s", "x", "a", "b"], &["s", "a", "b"], &["s", "a"]];

#[derive(Debug, Clone)]
pub enum Step {
    Submit(Plan),
    /// The same submit once more.
    SubmitAgain {
        run: usize,
    },
    Claim {
        worker: usize,
        target: usize,
        count: usize,
    },
    Settle {
        by: By,
        ends: Vec<(Which, End)>,
    },
    Extend {
        by: By,
        which: Which,
        started: bool,
    },
    Split {
        by: By,
        which: Which,
        parts: usize,
        cursor: Cursor,
    },
    /// The worker of a claim gives no sign of life for hours.
    Silent {
        which: Which,
    },
    /// A worker is killed. What it held is silent; whoever comes after it has another name.
    Die {
        worker: usize,
    },
    Leave {
        worker: usize,
    },
    Tick {
        worker: usize,
    },
    Reclaim {
        worker: usize,
    },
    /// Nobody ticks for a lease: all leases lapse and no worker is known any more; claims may be alive, for hearts beat apart.
    NobodyTicks {
        claims_too: bool,
    },
    /// Of delayed jobs, and of a target that wanted to be left alone; then somebody ticks.
    DelaysAreOver,
    ClosingTakesTooLong,
    /// Whoever makes room for an urgent run has had the time for it, urgent runs have had theirs, and who keeps its turn, too.
    TurnsAreOver,
    Pause {
        run: usize,
    },
    Resume {
        run: usize,
    },
    Cancel {
        run: usize,
    },
    Unlock {
        target: usize,
    },
    /// The first buried job, or all: back to work, or away for good.
    Dead {
        run: usize,
        retry: bool,
        all: bool,
    },
    /// Somebody writes something else into a work stream.
    Garbage {
        target: usize,
    },
    Flush,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub source: usize,
    pub target: usize,
    /// Jobs per stage.
    pub stages: Vec<usize>,
    pub open: bool,
    pub close: bool,
    pub window: u16,
    pub priority: i32,
    pub refuse: bool,
    pub urgent: bool,
    /// As all others of which this is said.
    pub brings_the_same: bool,
}

/// Which claim, of those that stand or of all there ever were.
#[derive(Debug, Clone)]
pub struct Which {
    pub standing: bool,
    pub number: usize,
}

#[derive(Debug, Clone)]
pub enum By {
    Owner,
    Worker(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Done {
        wrote: bool,
        pressure: bool,
    },
    Retry {
        later: bool,
    },
    Return {
        later: bool,
    },
    Bury,
    Throttled {
        later: bool,
    },
    FenceLost,
    Fail,
    /// Smaller jobs take its place.
    Parts(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Cursor {
    Next,
    /// The last call was answered, but the answer was lost.
    Repeated,
    /// The job goes on from where it was not.
    Wrong,
}

/// Somebody is there and has something to do; then whatever may be.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let beginning = (plan(), plan()).prop_map(|(one, other)| {
        vec![Step::Tick { worker: 0 }, Step::Tick { worker: 1 }, Step::Submit(one), Step::Submit(other)]
    });
    (beginning, vec(step(), 1..120)).prop_map(|(mut steps, more)| {
        steps.extend(more);
        steps
    })
}

fn step() -> impl Strategy<Value = Step> {
    let any_run = 0usize..6;
    let target = 0..TARGETS.len();
    let worker = 0..KNOWN.len();
    prop_oneof![
        150 => (worker.clone(), target.clone(), 1usize..10)
            .prop_map(|(worker, target, count)| Step::Claim { worker, target, count }),
        150 => (by(), vec((which(), end()), 1..4)).prop_map(|(by, ends)| Step::Settle { by, ends }),
        // More than a few at once go another way through the script.
        15 => vec((Just(Which { standing: true, number: 0 }), end()), 9..12).prop_map(|mut ends| {
            ends.iter_mut().enumerate().for_each(|(number, end)| end.0.number = number);
            Step::Settle { by: By::Owner, ends }
        }),
        30 => (by(), which(), any::<bool>()).prop_map(|(by, which, started)| Step::Extend { by, which, started }),
        45 => (by(), which(), 0usize..4, cursor())
            .prop_map(|(by, which, parts, cursor)| Step::Split { by, which, parts, cursor }),
        40 => plan().prop_map(Step::Submit),
        20 => which().prop_map(|which| Step::Silent { which }),
        30 => worker.clone().prop_map(|worker| Step::Tick { worker }),
        25 => worker.clone().prop_map(|worker| Step::Reclaim { worker }),
        20 => Just(Step::DelaysAreOver),
        10 => worker.clone().prop_map(|worker| Step::Die { worker }),
        10 => any::<bool>().prop_map(|claims_too| Step::NobodyTicks { claims_too }),
        10 => any_run.clone().prop_map(|run| Step::Resume { run }),
        7 => any_run.clone().prop_map(|run| Step::Pause { run }),
        5 => any_run.clone().prop_map(|run| Step::Cancel { run }),
        10 => (any_run.clone(), prop::bool::weighted(0.8), any::<bool>())
            .prop_map(|(run, retry, all)| Step::Dead { run, retry, all }),
        5 => Just(Step::ClosingTakesTooLong),
        20 => Just(Step::TurnsAreOver),
        5 => target.clone().prop_map(|target| Step::Garbage { target }),
        4 => worker.prop_map(|worker| Step::Leave { worker }),
        3 => any_run.prop_map(|run| Step::SubmitAgain { run }),
        2 => target.prop_map(|target| Step::Unlock { target }),
        1 => Just(Step::Flush),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let control = (prop::bool::weighted(0.4), prop::bool::weighted(0.5));
    let refuse = prop::bool::weighted(0.1);
    let turn = (0..3i32, prop::bool::weighted(0.3), prop::bool::weighted(0.5));
    (0..SOURCES.len(), 0..TARGETS.len(), vec(0usize..10, 0..4), control, 1u16..9, turn, refuse).prop_map(
        |(source, target, stages, (open, close), window, (priority, urgent, brings_the_same), refuse)| Plan {
            source,
            target,
            stages,
            open,
            close,
            window,
            priority,
            refuse,
            urgent,
            brings_the_same,
        },
    )
}

fn which() -> impl Strategy<Value = Which> {
    (prop::bool::weighted(0.8), 0usize..40).prop_map(|(standing, number)| Which { standing, number })
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![6 => Just(By::Owner), 1 => (0..KNOWN.len()).prop_map(By::Worker)]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        60 => (any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(wrote, pressure)| End::Done { wrote, pressure }),
        4 => prop::bool::weighted(0.3).prop_map(|later| End::Throttled { later }),
        20 => any::<bool>().prop_map(|later| End::Retry { later }),
        12 => any::<bool>().prop_map(|later| End::Return { later }),
        8 => (0usize..4).prop_map(End::Parts),
        6 => Just(End::Bury),
        6 => Just(End::FenceLost),
        1 => Just(End::Fail),
    ]
}

fn cursor() -> impl Strategy<Value = Cursor> {
    prop_oneof![2 => Just(Cursor::Next), 1 => Just(Cursor::Repeated), 1 => Just(Cursor::Wrong)]
}
