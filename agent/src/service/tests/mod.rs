mod fake;
mod operations;
mod refreshing;
mod registering;
mod surviving;
