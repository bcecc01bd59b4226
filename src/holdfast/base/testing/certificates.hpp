// For tests: a certificate authority, with a server's certificate for 127.0.0.1 and a client's, made with the
// openssl command in a temporary folder. And another authority that nobody has signed by.
//
//   const Certificates made;   server("cert_file: " + made.server() …);   options.ca_file = made.authority();
//
// Throws std::runtime_error with openssl's words where it does not work. Thread-safety: paths are constant.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace holdfast {

class Certificates {
 public:
  Certificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-certificates-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder: " + pattern);
    folder_ = pattern;
    for (const char* name : {"authority", "stranger"}) {
      openssl("req -x509 -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=" +
              std::string(name) + " -keyout " + path(name, "key") + " -out " + path(name, "pem"));
    }
    sign("server", "subjectAltName=IP:127.0.0.1");
    sign("elsewhere", "subjectAltName=DNS:elsewhere.example");
    sign("client", "extendedKeyUsage=clientAuth");
  }
  ~Certificates() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  std::string authority() const { return path("authority", "pem"); }
  std::string stranger() const { return path("stranger", "pem"); }  ///< an authority that signed none
  std::string server() const { return path("server", "pem"); }
  std::string server_key() const { return path("server", "key"); }
  std::string elsewhere() const { return path("elsewhere", "pem"); }  ///< of another host; signed as well
  std::string elsewhere_key() const { return path("elsewhere", "key"); }
  std::string client() const { return path("client", "pem"); }
  std::string client_key() const { return path("client", "key"); }

 private:
  std::string path(const std::string& name, const char* kind) const {
    return (folder_ / (name + "." + kind)).string();
  }
  void sign(const std::string& name, const std::string& extension) const {
    std::ofstream(folder_ / (name + ".ext")) << extension << "\n";
    openssl("req -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=" + name + " -keyout " +
            path(name, "key") + " -out " + path(name, "csr"));
    openssl("x509 -req -days 2 -in " + path(name, "csr") + " -CA " + authority() + " -CAkey " +
            path("authority", "key") + " -CAcreateserial -extfile " + path(name, "ext") + " -out " +
            path(name, "pem"));
  }
  void openssl(const std::string& arguments) const {
    const std::string said = path("openssl", "log");
    if (std::system(("openssl " + arguments + " >" + said + " 2>&1").c_str()) == 0) return;
    std::ifstream log(said);
    throw std::runtime_error("openssl " + arguments + "\n" +
                             std::string(std::istreambuf_iterator<char>(log), {}));
  }

  std::filesystem::path folder_;
};

}  // namespace holdfast
