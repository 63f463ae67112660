//! Bad luck of the API, as a script.

/// One kind of bad luck, for the calls that it is meant for.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// What the call's line begins with: `POST`, or `GET /v9/projects`; everything when empty.
    pub(crate) calls: &'static str,
    /// What the line also contains.
    pub(crate) with: &'static str,
    /// How often it strikes.
    pub(crate) times: u32,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// An error instead of doing it: status, code.
    Refuse(u16, &'static str),
    /// It is done, and the answer never comes.
    LoseAnswer,
    /// 429 with what it says about waiting: `Retry-After`, or the limit's end in this many seconds.
    Limited { retry_after: Option<&'static str>, reset_secs: i64 },
}

impl Fault {
    /// Everything fails with 500 until [`super::VercelFake::no_faults`].
    pub(crate) const fn down() -> Self {
        Self {
            calls: "",
            with: "",
            times: u32::MAX,
            kind: Kind::Refuse(500, "internal_server_error"),
        }
    }

    /// The fault that strikes this call, counted.
    pub(super) fn strikes(faults: &mut [Self], line: &str) -> Option<Kind> {
        let fault = faults.iter_mut().find(|fault| {
            fault.times > 0 && line.starts_with(fault.calls) && line.contains(fault.with)
        })?;
        fault.times = fault.times.saturating_sub(1);
        Some(fault.kind.clone())
    }
}
