//! Addresses and their announcement: allocation, election, ARP and NDP.
