//! The page's files: the name that each is served under, its media type, its content.

const JS: &str = "text/javascript; charset=utf-8";

macro_rules! console {
    ($name:literal) => {
        ($name, JS, include_str!($name))
    };
    ($name:literal, $media_type:literal) => {
        ($name, $media_type, include_str!($name))
    };
}

macro_rules! client {
    ($name:literal) => {
        (concat!("client/", $name), JS, include_str!(concat!("../../../clients/js/src/", $name)))
    };
}

/// All of them.
pub(super) const ALL: &[(&str, &str, &str)] = &[
    console!("main.js"),
    console!("api.js"),
    console!("binding.js"),
    console!("board.js"),
    console!("cluster.js"),
    console!("counter.js"),
    console!("document.js"),
    console!("dom.js"),
    console!("object.js"),
    console!("objects.js"),
    console!("people.js"),
    console!("watch.js"),
    console!("words.js"),
    console!("vendor/yjs.js"),
    console!("vendor/LICENSES.txt", "text/plain; charset=utf-8"),
    console!("style.css", "text/css; charset=utf-8"),
    console!("icon.svg", "image/svg+xml"),
    client!("address.js"),
    client!("calls.js"),
    client!("client.js"),
    client!("delta.js"),
    client!("error.js"),
    client!("feed.js"),
    client!("http.js"),
    client!("key.js"),
    client!("limits.js"),
    client!("link.js"),
    client!("presence.js"),
    client!("reader.js"),
    client!("replica.js"),
    client!("stead.js"),
    client!("subscription.js"),
    client!("tell.js"),
];
