//! Proving: a signed pack that anyone can verify and judge again, offline.
