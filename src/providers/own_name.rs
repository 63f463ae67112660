//! What a platform is called by its address, however that is written.

/// The address as all write it: without user, default port, and slash at its end; one name for
/// this machine.
pub(super) fn of_address(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
    let default = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(default).unwrap_or(&authority);
    let end_of_name = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (name, port) = authority.split_at(end_of_name.unwrap_or(authority.len()));
    let name = name.trim_end_matches('.');
    let is_here = matches!(name, "localhost" | "[::1]") || name.starts_with("127.");
    format!("{scheme}://{}{port}{path}", if is_here { LOOPBACK } else { name })
}

const LOOPBACK: &str = "127.0.0.1";

/// Whether another machine has the same address.
pub(super) fn is_loopback(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split([':', '/']).next() == Some(LOOPBACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_written_in_many_ways() {
        for (written, is) in [
            ("https://Router.example:443/", "https://router.example"),
            ("HTTPS://me:secret@router.example.", "https://router.example"),
            ("http://router.example:80/admin/", "http://router.example/admin"),
            ("http://router.example:8081", "http://router.example:8081"),
            ("http://localhost:8081", "http://127.0.0.1:8081"),
            ("http://[::1]:8081/", "http://127.0.0.1:8081"),
            ("http://[fd00::2]:8081", "http://[fd00::2]:8081"),
            ("http://[fd00::2]", "http://[fd00::2]"),
        ] {
            assert_eq!(of_address(written), is, "{written}");
            assert_eq!(is_loopback(is), is.contains("127.0.0.1"), "{written}");
        }
    }
}
