mod fake;
mod files;
mod operations;
mod refreshing;
mod registering;
mod surviving;
