//! The conformance suite reports faulty layers, each by the check meant for its fault.

use std::sync::LazyLock;

use burn::module::{Flag, Module, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use burn_flows::bijector::{Bijector, Carried, Place, Walk};
use burn_flows::testing::{Check, Suite, SuiteReport};

static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).unwrap();
    device
});

/// The fault of a [`Faulty`] layer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    LogDetTwice,
    LogDetSign,
    InverseLogDetSign,
    InverseLogDetMissing,
    LogDetAlone,
    PerElementLogDet,
    InverseOfWrongHalf,
    InverseFarOut,
    OtherInverse,
    MixesRows,
    Detached,
    NoGradient,
    NanGradientAtZero,
    Infinite,
    NanTaken,
    Overflows,
    OwnPrecision,
    PlainTensor,
    Flagged,
    OtherInTraining,
    InitReturnsData,
    InitAlways,
    WalkOfAnother,
    ContextIgnored,
    ContextUnchecked,
    EventUnchecked,
}

/// `z_a = x_a`, `z_b = x_b * exp(s) + t * tanh(x_a) + c`, correct except for its fault. It is the
/// identity until its parameters move.
#[derive(Module, Debug)]
struct Faulty {
    log_scale: Param<Tensor<1>>,
    shift: Param<Tensor<1>>,
    offset: Tensor<1>,
    flag: Param<Flag>,
    context: usize,
    #[module(skip)]
    fault: Fault,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        let zeros = || Tensor::zeros([2], &*DEVICE);
        Self {
            log_scale: Param::from_tensor(zeros()),
            shift: Param::from_tensor(zeros()),
            offset: zeros(),
            flag: Param::from_bool(false),
            context: 0,
            fault,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn halves(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let found = x.dims();
        let fits = self.is(Fault::EventUnchecked) || found[1] == 4;
        assert!(fits, "Faulty: expected shape [batch, 4], found {found:?}");
        let x = match self.is(Fault::NanTaken) {
            true => x.clone().mask_fill(x.is_finite().bool_not(), 0.0),
            false => x,
        };
        (x.clone().narrow(1, 0, 2), x.narrow(1, 2, 2))
    }

    fn log_scale(&self) -> Tensor<1> {
        let log_scale = self.log_scale.val();
        if self.is(Fault::Flagged) && self.flag.is_enabled() { log_scale * 2.0 } else { log_scale }
    }

    /// The shift of the second half.
    fn push(&self, a: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let dims = a.dims();
        let seen = match self.fault {
            Fault::Detached => a.detach(),
            Fault::Overflows => a.clone() + a.powi_scalar(11) * 0.0,
            Fault::MixesRows => a.mean_dim(0).expand(dims),
            _ => a,
        };
        let shift = match self.fault {
            Fault::NoGradient => self.shift.val().detach(),
            Fault::OtherInTraining if self.shift.val().is_autodiff() => self.shift.val() + 1e-3,
            Fault::OwnPrecision => self.shift.val() + Tensor::ones([2], &*DEVICE),
            Fault::PlainTensor => self.shift.val() + self.offset.clone(),
            _ => self.shift.val(),
        };
        let mut push = seen.clone().tanh() * shift.unsqueeze();
        if self.is(Fault::NanGradientAtZero) {
            let never = seen.clone().abs().log();
            push = push
                + never.clone().mask_fill(never.is_finite().bool_or(seen.equal_elem(0.0)), 0.0);
        }
        if self.context == 0 {
            return push;
        }
        if !self.is(Fault::ContextUnchecked) {
            match context.map(|c| c.dims()[1]) {
                Some(found) if found == self.context => {}
                Some(found) => {
                    panic!("Faulty: expected a context of width {}, found {found}", self.context)
                }
                None => panic!("Faulty: expected a context of width {}, found none", self.context),
            }
        }
        match context {
            Some(c) if !self.is(Fault::ContextIgnored) => push + c.clone().narrow(1, 0, 1),
            _ => push,
        }
    }

    fn log_det(&self, rows: usize) -> Tensor<1> {
        let total = self.log_scale().sum();
        match self.fault {
            Fault::LogDetTwice => (total * 2.0).expand([rows]),
            Fault::LogDetSign => total.neg().expand([rows]),
            Fault::PerElementLogDet => (total / 4.0).expand([4 * rows]),
            Fault::Infinite => (total + f64::INFINITY).expand([rows]),
            _ => total.expand([rows]),
        }
    }
}

impl Bijector<2> for Faulty {
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let rows = x.dims()[0];
        let (a, b) = self.halves(x);
        let b = b * self.log_scale().exp().unsqueeze() + self.push(a.clone(), context);
        (Tensor::cat(vec![a, b], 1), self.log_det(rows))
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let (a, b) = self.halves(z);
        let seen = if self.is(Fault::InverseOfWrongHalf) { b.clone() } else { a.clone() };
        let b = (b - self.push(seen, context)) * self.log_scale().neg().exp().unsqueeze();
        let b = if self.is(Fault::InverseFarOut) { b.clamp(-50.0, 50.0) } else { b };
        Tensor::cat(vec![a, b], 1)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<2>, Tensor<1>) {
        let log_det = self.log_det(z.dims()[0]);
        let x = self.inverse(z, context);
        match self.fault {
            Fault::InverseLogDetSign => (x, log_det),
            Fault::InverseLogDetMissing => (x, log_det.zeros_like()),
            Fault::OtherInverse => (x + 1e-6, log_det.neg()),
            _ => (x, log_det.neg()),
        }
    }

    fn log_det_jacobian(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        let log_det = self.log_det(x.dims()[0]);
        if self.is(Fault::LogDetAlone) { log_det + 1e-6 } else { log_det }
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Self, Tensor<2>) {
        let mut layer = self;
        if layer.is(Fault::InitAlways) {
            let new = x.clone().mean_dim(0).narrow(1, 0, 2).reshape([2]);
            layer.shift = layer.shift.map(|_| new.autodiff().require_grad());
        }
        let (z, _) = layer.valid().forward(x.clone(), context);
        if layer.is(Fault::InitReturnsData) { (layer, x) } else { (layer, z) }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<2>) -> Carried<2> {
        match self.is(Fault::WalkOfAnother) {
            true => walk.layer(&Faulty::new(Fault::LogDetTwice), at, carried),
            false => walk.layer(self, at, carried),
        }
    }
}

fn check(fault: Fault) -> SuiteReport {
    Suite::new([4, 4]).check(Faulty::new(fault))
}

fn check_with_context(fault: Fault) -> SuiteReport {
    let layer = Faulty { context: 2, ..Faulty::new(fault) };
    Suite::new([4, 4]).with_context(2).check(layer)
}

macro_rules! caught {
    ($($name:ident: $report:expr => [$($check:ident),*];)+) => {
        $(#[test]
        fn $name() {
            let report = $report;
            assert_eq!(report.failed(), [$(Check::$check),*] as [Check; _], "{report}");
        })+
    };
}

caught! {
    nothing_is_wrong: check(Fault::Nothing) => [];
    nothing_is_wrong_with_context: check_with_context(Fault::Nothing) => [];

    log_det_twice: check(Fault::LogDetTwice) => [Jacobian, InverseJacobian];
    log_det_sign: check(Fault::LogDetSign) => [Jacobian, InverseJacobian];
    inverse_log_det_sign: check(Fault::InverseLogDetSign) => [LogDetsCancel, InverseJacobian];
    inverse_log_det_missing: check(Fault::InverseLogDetMissing) => [LogDetsCancel, InverseJacobian];
    log_det_alone: check(Fault::LogDetAlone) => [LogDetAgrees];
    per_element_log_det: check(Fault::PerElementLogDet) => [Shapes];
    inverse_of_wrong_half: check(Fault::InverseOfWrongHalf) => [RoundTrip, RoundTripLatent, RoundTripFar, InverseJacobian];
    inverse_far_out: check(Fault::InverseFarOut) => [RoundTripFar];
    other_inverse: check(Fault::OtherInverse) => [InverseAgrees];
    mixes_rows: check(Fault::MixesRows) => [RowsIndependent, BatchOfOne, NonFinite];
    detached: check(Fault::Detached) => [Derivative];
    no_gradient: check(Fault::NoGradient) => [Derivative, Gradients];
    nan_gradient_at_zero: check(Fault::NanGradientAtZero) => [Edges];
    infinite: check(Fault::Infinite) => [Finite, Jacobian, InverseJacobian, Derivative, Edges, Overflow];
    nan_taken: check(Fault::NanTaken) => [NonFinite];
    overflows: check(Fault::Overflows) => [Overflow];
    own_precision: check(Fault::OwnPrecision) => [Precision];
    plain_tensor: check(Fault::PlainTensor) => [Precision];
    flagged: check(Fault::Flagged) => [Record];
    other_in_training: check(Fault::OtherInTraining) => [RowsIndependent, Valid];
    init_returns_data: check(Fault::InitReturnsData) => [InitFromData];
    init_always: check(Fault::InitAlways) => [InitFromData];
    walk_of_another: check(Fault::WalkOfAnother) => [Walk];
    context_ignored: check_with_context(Fault::ContextIgnored) => [ContextUsed];
    context_unchecked: check_with_context(Fault::ContextUnchecked) => [ContextWidth];
    event_unchecked: check(Fault::EventUnchecked) => [EventWidth];

    triangular: Suite::new([4, 4]).autoregressive(&[0, 1, 2, 3]).check(Faulty::new(Fault::Nothing)) => [];
    triangular_the_other_way: Suite::new([4, 4]).autoregressive(&[3, 2, 1, 0]).check(Faulty::new(Fault::Nothing)) => [Triangular];

    // At the initial weights the wrong log-determinant is correct. Only moved weights reveal the
    // fault.
    log_det_twice_at_the_start: Suite::new([4, 4]).check(Faulty::new(Fault::LogDetTwice).no_grad()) => [];
}

#[test]
fn a_report_says_what_was_measured_and_allowed() {
    let report = check(Fault::LogDetTwice);
    let finding = report.findings().iter().find(|f| f.check == Check::Jacobian).unwrap();
    assert!(finding.measured > 0.1 && finding.allowed == 1e-10 && !finding.is_ok(), "{finding}");
    let table = report.to_string();
    assert!(
        table.starts_with("Faulty on [4, 4] in F64\n  ok        0.0e0 of 0e0   shapes\n"),
        "{table}"
    );
    let panic = std::panic::catch_unwind(|| report.assert_ok()).unwrap_err();
    let panic = panic.downcast::<String>().unwrap();
    let of = report.findings().len();
    assert!(panic.starts_with(&format!("Faulty on [4, 4] in F64: 2 of {of} checks failed\n")));
    assert!(panic.contains(&format!("\n  {finding}")) && !panic.contains("\n  ok"), "{panic}");
    let finding = finding.to_string();
    assert!(
        finding.starts_with("FAILED   1.7e-1 of 1e-10 log-det = ln |det J|: log-det["),
        "{finding}"
    );
}

#[test]
fn a_check_can_be_left_out() {
    let suite = Suite::new([4, 4]).without(Check::LogDetAgrees);
    let report = suite.check(Faulty::new(Fault::LogDetAlone));
    assert!(report.failed().is_empty(), "{report}");
    assert!(report.findings().iter().all(|f| f.check != Check::LogDetAgrees));
}

#[test]
fn a_tolerance_serves_numerical_inverses_and_no_log_det() {
    let report = |fault| Suite::new([4, 4]).with_tolerance(10.0).check(Faulty::new(fault));
    assert_eq!(report(Fault::InverseOfWrongHalf).failed(), [Check::InverseJacobian]);
    assert_eq!(report(Fault::LogDetTwice).failed(), [Check::Jacobian, Check::InverseJacobian]);
}

#[test]
fn a_comparison_shows_what_a_precision_or_a_record_loses() {
    let compare = |fault| Suite::new([4, 4]).compare(Faulty::new(fault), &DEVICE, DType::F32);
    let fine = compare(Fault::Nothing);
    assert!(fine.largest() > 1e-9 && fine.largest() < 1e-6, "{fine}");
    assert!(fine.to_string().starts_with("Faulty on [4, 4] in F32, Device"), "{fine}");
    let mixed = compare(Fault::OwnPrecision);
    assert!(mixed.log_det.is_infinite() && mixed.to_string().contains("panicked"), "{mixed}");
    let flagged = compare(Fault::Flagged);
    assert!(flagged.log_det > 1e-2 && flagged.log_det.is_finite(), "{flagged}");
}

#[test]
#[should_panic(expected = "Suite: expected a batch of at least 2 rows, found shape [1, 4]")]
fn a_batch_of_one_row_cannot_show_independence() {
    let _ = Suite::new([1, 4]);
}

#[test]
#[should_panic(expected = "Suite: expected events with elements, found shape [3, 0]")]
fn an_event_without_elements() {
    let _ = Suite::new([3, 0]);
}

#[test]
#[should_panic(expected = "Suite: expected an interval with low < high, found (1, 1)")]
fn an_empty_interval() {
    let _ = Suite::new([3, 2]).with_domain(1.0, 1.0);
}

#[test]
#[should_panic(expected = "Suite: expected an order of 3 elements, found [0, 2, 2]")]
fn an_order_that_is_none() {
    let _ = Suite::new([3, 3]).autoregressive(&[0, 2, 2]);
}

/// Returns the first three features of a row and ignores the others.
#[derive(Module, Debug)]
struct Truncating {}

impl Bijector<2> for Truncating {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let [rows, width] = x.dims();
        assert!(width > 2, "Truncating: expected shape [batch, 3], found [{rows}, {width}]");
        (x.clone().narrow(1, 0, 3), Tensor::zeros([rows], (&x.device(), x.dtype())))
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.forward(z, context).0
    }
}

#[test]
fn an_accepted_width_is_reported_by_what_it_gave() {
    LazyLock::force(&DEVICE);
    let report = Suite::new([4, 3]).check(Truncating {});
    let finding = report.findings().iter().find(|f| f.check == Check::EventWidth).unwrap();
    let text = finding.to_string();
    assert!(
        text.contains(
            "forward of shape [4, 4] returns z of [4, 3], log-det of [4] instead of a panic"
        ),
        "{text}"
    );
    assert!(!text.contains("assertion failed"), "{text}");
}
