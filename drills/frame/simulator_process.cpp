#include "drills/frame/simulator_process.hpp"

#include <stdexcept>
#include <thread>

#include "drills/frame/server_process.hpp"

namespace holdfast::drills {

SimulatorProcess::SimulatorProcess(std::string name, SimulatorOptions options)
    : name_(std::move(name)), options_(std::move(options)) {
  if (options_.folder.empty())
    own_folder_.emplace();
  else
    std::filesystem::create_directories(options_.folder);
  if (options_.start) start();
}

void SimulatorProcess::start() {
  const std::filesystem::path ready = folder() / "ready";
  std::vector<std::string> command{
      binary(name_).string(), "--address",   "127.0.0.1:" + std::to_string(port_), "--data", data().string(),
      "--ready-file",         ready.string()};
  command.insert(command.end(), options_.arguments.begin(), options_.arguments.end());
  std::filesystem::remove(ready);
  process_ = std::make_unique<Process>(ProcessOptions{.command = std::move(command),
                                                      .folder = folder(),
                                                      .environment = {},
                                                      .name = name_,
                                                      .belongings = options_.belongings});
  const auto until = std::chrono::steady_clock::now() + options_.ready_within;
  while (!std::filesystem::exists(ready)) {  // renamed into place: whole once it is there
    if (!process_->running())
      throw std::runtime_error(name_ + " ended: " + process_->out() + process_->err());
    if (std::chrono::steady_clock::now() > until)
      throw std::runtime_error(name_ + " is not ready in time: " + process_->out() + process_->err());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const std::string url = read_text(ready);
  port_ = static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1)));
  kept_.keep(port_);
}

ExitStatus SimulatorProcess::stop(std::chrono::milliseconds at_most) {
  process_->terminate();
  return process_->wait(at_most);
}

std::string SimulatorProcess::control(const char* method, const std::string& path, const std::string& body) {
  HttpConnection http(port_, std::chrono::seconds(30));
  const HttpHeaders headers =
      body.empty() ? HttpHeaders{} : HttpHeaders{{"Content-Type", "application/json"}};
  const HttpAnswer answer = http.request(method, "/" + name_ + path, body, headers);
  if (answer.status >= 300) throw std::runtime_error(name_ + " refused " + path + ": " + answer.body);
  return answer.body;
}

void SimulatorProcess::behave(const std::string& json) { control("PUT", "/behaviour", json); }

void SimulatorProcess::reset() { control("POST", "/reset", "{}"); }

std::string SimulatorProcess::book() { return control("GET", "/book"); }

}  // namespace holdfast::drills
