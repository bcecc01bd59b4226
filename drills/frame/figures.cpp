#include "drills/frame/figures.hpp"

#include <cstdlib>
#include <sstream>
#include <thread>

namespace holdfast::drills {

double metric(const Shop& shop, const std::string& name, const std::string& labels) {
  HttpConnection http = shop.connect();
  std::istringstream lines(http.get("/metrics").body);
  double sum = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name) || line.find(labels) == std::string::npos) continue;
    const char after = line.size() > name.size() ? line[name.size()] : '\0';
    if (after == ' ' || after == '{') sum += std::atof(line.c_str() + line.rfind(' '));
  }
  return sum;
}

double resident_mebibytes(pid_t pid) {
  const std::string status = read_text("/proc/" + std::to_string(pid) + "/status");
  const std::size_t at = status.find("VmRSS:");
  return at == std::string::npos ? 0 : std::atof(status.c_str() + at + 6) / 1024;
}

int processors() { return static_cast<int>(std::max(1U, std::thread::hardware_concurrency())); }

}  // namespace holdfast::drills
