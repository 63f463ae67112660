//! Arguments, configuration, wiring and rendering: the only layer that talks to people.
