// The brokers that a Fleet runs on, by name: what its processes are told, and a server that can be killed.
// A further broker is an entry of fleet_brokers().
//
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace holdfast::drills {

struct FleetBroker {
  std::map<std::string, std::string> environment;  ///< of each server and worker
  std::function<void()> kill;                      ///< -9; empty: there is no server to kill
  std::function<void()> start;                     ///< returns when it takes connections; both own it
};

struct FleetBrokerKind {
  std::string name;
  std::function<bool()> installed;
  std::string missing;  ///< what to do where it is not
  std::function<FleetBroker()> make;
};

inline std::ostream& operator<<(std::ostream& out, const FleetBrokerKind& kind) { return out << kind.name; }

const std::vector<FleetBrokerKind>& fleet_brokers();

}  // namespace holdfast::drills
