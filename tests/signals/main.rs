//! The sign-out signals of providers: what a logout token has to say, and what the callbacks do
//! about one.

mod callbacks;
mod logout;
mod logout_http;
