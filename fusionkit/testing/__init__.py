"""What plugin authors test with: `conformance` holds a component against the contract, `scaffold` begins one."""
