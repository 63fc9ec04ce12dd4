HELP = "sibling says: "
