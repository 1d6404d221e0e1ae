//! How much a filter may compute. jaq itself has no limit, but it looks up every term that it evaluates: counted here, and
//! ended by unwinding when it is enough. Counted in steps and not in time, so that every worker gives the same answer.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jaq_core::data::HasLut;
use jaq_core::{Ctx, DataT, Filter, Lut, Vars};
use jaq_json::Val;

/// What a filter may evaluate however small the document is: some hundred milliseconds.
const STEPS: u64 = 1_000_000;
/// And for each byte of the document.
const STEPS_PER_BYTE: u64 = 50;
/// The stack of a thread that filters run on, and how much of it evaluating may take: values that are nested deeply are
/// given back on what is left.
const STACK: usize = 192 << 20;
const STACK_FOR_FILTERS: usize = 48 << 20;

/// Ties filters to values and to the meter.
pub struct Metered;

impl DataT for Metered {
    type V<'a> = Val;
    type Data<'a> = Running<'a>;
}

/// A filter that runs.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    lut: &'a Lut<Metered>,
    meter: &'a Meter,
}

pub struct Meter {
    left: Cell<u64>,
    /// Stacks grow downwards.
    deepest: usize,
}

/// What ended a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Steps,
    Stack,
    /// It ended by a panic within jaq.
    Panic,
}

impl<'a> HasLut<'a, Metered> for Running<'a> {
    fn lut(&self) -> &'a Lut<Metered> {
        self.meter.step();
        self.lut
    }
}

impl Meter {
    fn new(document_bytes: usize) -> Self {
        let left = STEPS.saturating_add(STEPS_PER_BYTE.saturating_mul(document_bytes as u64));
        Self { left: Cell::new(left), deepest: stack_pointer().saturating_sub(STACK_FOR_FILTERS) }
    }

    fn step(&self) {
        let left = self.left.get();
        if left == 0 {
            resume_unwind(Box::new(Spent::Steps));
        }
        if stack_pointer() < self.deepest {
            resume_unwind(Box::new(Spent::Stack));
        }
        self.left.set(left - 1);
    }
}

/// Runs a filter as far as the meter allows, and gives back what `take` makes of its outputs.
pub fn metered<T>(
    filter: &Filter<Metered>,
    input: Val,
    document_bytes: usize,
    take: impl FnOnce(&mut dyn Iterator<Item = Result<Val, jaq_json::Error>>) -> T,
) -> Result<T, Spent> {
    let meter = Meter::new(document_bytes);
    let run = || {
        let context = Ctx::<Metered>::new(Running { lut: &filter.lut, meter: &meter }, Vars::new([]));
        let is_no_error = |_| jaq_json::Error::str("the filter ended early");
        let mut outputs = filter
            .id
            .run((context, input))
            .map(|output| output.map_err(|end| end.get_err().unwrap_or_else(is_no_error)));
        take(&mut outputs)
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|ended| ended.downcast().map_or(Spent::Panic, |spent| *spent))
}

/// Does something on a stack that is deep enough for any filter that the meter lets pass.
pub fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("shaping".into()).stack_size(STACK).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| std::io::Error::other("a thread that shapes documents panicked"))
    })
}

fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}
