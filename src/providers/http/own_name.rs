//! What a platform is called by its address, however that is written.

use reqwest::Url;

const LOOPBACK: &str = "127.0.0.1";

/// The address as all write it: without user, default port, and slash at its end; one name for
/// this machine.
pub(in crate::providers) fn of_address(written: &str) -> String {
    let Ok(mut url) = Url::parse(written) else { return written.to_owned() };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let host = if is_here(host) { LOOPBACK } else { host }.to_owned();
    // Addresses of http have a host, so neither is refused.
    let _ = (url.set_host(Some(&host)), url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

/// Whether another machine has the same address.
pub(in crate::providers) fn is_loopback(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.host_str().is_some_and(is_here))
}

fn is_here(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
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
            ("http://127.0.0.2:8081", "http://127.0.0.1:8081"),
            ("http://[::1]:8081/", "http://127.0.0.1:8081"),
            ("http://[fd00::2]:8081", "http://[fd00::2]:8081"),
            ("http://[fd00:0::2]", "http://[fd00::2]"),
            ("no address", "no address"),
        ] {
            assert_eq!(of_address(written), is, "{written}");
            assert_eq!(is_loopback(is), is.contains("127.0.0.1"), "{written}");
        }
    }
}
