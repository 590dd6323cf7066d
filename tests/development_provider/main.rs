//! The development provider of `examples/web_app`, its other app and its API: that what they show is what the specifications say.

#[path = "../../examples/web_app/api.rs"]
mod api;
#[path = "../../examples/web_app/other_app.rs"]
mod other_app;
#[path = "../../examples/web_app/provider/mod.rs"]
mod provider;
