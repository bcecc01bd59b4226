#include "drills/frame/carriersim_process.hpp"

#include <stdexcept>
#include <thread>

#include "drills/frame/http_connection.hpp"
#include "drills/frame/server_process.hpp"

namespace holdfast::drills {

CarriersimProcess::CarriersimProcess(CarriersimOptions options) : options_(std::move(options)) {
  if (options_.folder.empty())
    own_folder_.emplace();
  else
    std::filesystem::create_directories(options_.folder);
  if (options_.start) start();
}

void CarriersimProcess::start() {
  const std::filesystem::path ready = folder() / "ready";
  std::vector<std::string> command{binary("carriersim").string(),
                                   "--address",
                                   "127.0.0.1:" + std::to_string(port_),
                                   "--data",
                                   data().string(),
                                   "--ready-file",
                                   ready.string()};
  command.insert(command.end(), options_.arguments.begin(), options_.arguments.end());
  std::filesystem::remove(ready);
  process_ = std::make_unique<Process>(ProcessOptions{.command = std::move(command),
                                                      .folder = folder(),
                                                      .environment = {},
                                                      .name = "carriersim",
                                                      .belongings = options_.belongings});
  const auto until = std::chrono::steady_clock::now() + options_.ready_within;
  while (!std::filesystem::exists(ready)) {  // renamed into place: whole once it is there
    if (!process_->running())
      throw std::runtime_error("carriersim ended: " + process_->out() + process_->err());
    if (std::chrono::steady_clock::now() > until)
      throw std::runtime_error("carriersim is not ready in time: " + process_->out() + process_->err());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const std::string url = read_text(ready);
  port_ = static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1)));
}

ExitStatus CarriersimProcess::stop(std::chrono::milliseconds at_most) {
  process_->terminate();
  return process_->wait(at_most);
}

std::string CarriersimProcess::control(const char* method, const std::string& path, const std::string& body) {
  HttpConnection http(port_, std::chrono::seconds(30));
  const HttpHeaders headers =
      body.empty() ? HttpHeaders{} : HttpHeaders{{"Content-Type", "application/json"}};
  const HttpAnswer answer = http.request(method, path, body, headers);
  if (answer.status >= 300) throw std::runtime_error("carriersim refused " + path + ": " + answer.body);
  return answer.body;
}

void CarriersimProcess::behave(const std::string& json) { control("PUT", "/carriersim/behaviour", json); }

void CarriersimProcess::reset() { control("POST", "/carriersim/reset", "{}"); }

std::string CarriersimProcess::book() { return control("GET", "/carriersim/book"); }

}  // namespace holdfast::drills
